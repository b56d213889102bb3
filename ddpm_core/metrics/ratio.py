"""The distance of a few samples to the training images, as a multiple of what as many real images score.

Of a few hundred samples most of a distance's chance is in how often each class came, which says nothing of a model.
So the samples are taken evenly from the classes, the real images of the floor have their labels, and a resampling
keeps them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.frechet import Features, distance, gaussian_of
from ddpm_core.metrics.intervals import Interval, Replicates, around, frechet_replicates, resampled
from ddpm_core.metrics.measure import RealFeatures, Trust

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Ratio:
    """1 = as near as real images, and the interval that another draw of as many samples would come to."""

    value: float
    ends: Interval


def even_part(labels: Labels, n: int) -> NDArray[np.int64]:
    """The rows of n, of each class the first, as many as its share of all; in rising order."""
    _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    reached = np.empty(len(labels))
    for number, count in enumerate(counts):
        reached[which == number] = (np.arange(count) + 0.5) / count
    return np.sort(np.argsort(reached, kind="stable")[:n])


def floor_to_train(real: RealFeatures, test_labels: Labels, asked: Labels, draws: int, seed: int) -> float:
    """What unseen real images of these labels (-1: of any) score against all training images, the mean of draws."""
    rng = np.random.Generator(np.random.Philox(key=[seed, len(asked)]))
    found = []
    for _ in range(draws):
        picks = []
        for label, count in zip(*np.unique(asked, return_counts=True), strict=True):
            rows = np.arange(len(test_labels)) if label < 0 else np.flatnonzero(test_labels == label)
            picks.append(rng.choice(rows, min(int(count), len(rows)), replace=False))
        rows = np.sort(np.concatenate(picks))
        found.append(distance(gaussian_of(real.test_rows[rows]), real.train))
    return float(np.mean(found))


def ratio_to_train(samples: Features, asked: Labels, real: RealFeatures, floor: float, trust: Trust) -> Ratio | None:
    """None where the floor is 0: the splits are the same images, and give no unit to compare in."""
    if floor <= 0:
        return None
    value = distance(gaussian_of(samples), real.train) / floor
    found = frechet_replicates(samples, real.train, _within_labels(asked, trust))
    in_floors = Replicates(found.linear / floor, found.curved / floor)
    return Ratio(value, around(value, in_floors, trust.confidence).at_least_0())


def _within_labels(asked: Labels, trust: Trust) -> NDArray[np.int64]:
    """How each sample is weighted in each round, [rounds, n]; every label keeps its weight."""
    weighting = np.empty((trust.rounds, len(asked)), dtype=np.int64)
    for label in np.unique(asked):
        rows = np.flatnonzero(asked == label)
        weighting[:, rows] = resampled(len(rows), trust.rounds, trust.seed + int(label) + 1)
    return weighting
