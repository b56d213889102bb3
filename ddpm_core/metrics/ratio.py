"""The distance of a few samples to the training images, as a multiple of what as many real images score.

Of a few hundred samples nearly all of a distance's chance is in how often each class came. So they are taken evenly
from the classes (labels.even_part), the real images of the floor have their labels, and resampling keeps them.
"""

from dataclasses import dataclass

from ddpm_core.metrics.frechet import Features, distance, gaussian_of
from ddpm_core.metrics.intervals import Interval, Replicates, around, frechet_replicates, resampled_within
from ddpm_core.metrics.labels import Labels
from ddpm_core.metrics.measure import RealFeatures, Trust


@dataclass(frozen=True)
class Ratio:
    """1 = as near as real images, and the interval that another draw of as many samples would come to."""

    value: float
    ends: Interval


def ratio_to_train(samples: Features, asked: Labels, real: RealFeatures, floor: float, trust: Trust) -> Ratio | None:
    """None where the floor is 0: the splits are the same images, and give no unit to compare in."""
    if floor <= 0:
        return None
    value = distance(gaussian_of(samples), real.train) / floor
    found = frechet_replicates(samples, real.train, resampled_within(asked, trust.rounds, trust.seed))
    in_floors = Replicates(found.linear / floor, found.curved / floor)
    return Ratio(value, around(value, in_floors, trust.confidence).at_least_0())
