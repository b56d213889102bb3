"""The Fréchet distance to training and to unseen images, beside what real images score at the same n.

Every distance stands beside its floor: what real images of the labels asked score at the same n. `to train` is held
against unseen real images, `to test` against training images. Where the samples outnumber the images that a floor can
be made of, the ratio is taken of the first so many samples, so that both sides of it always have the same n.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.data import EvalData
from ddpm_core.metrics.frechet import (
    Gaussian,
    RealFeatures,
    distance,
    enough_to_extrapolate,
    gaussian_of,
    infinity,
    subset_floor,
)
from ddpm_core.metrics.intervals import (
    Replicates,
    Resampling,
    around,
    frechet_replicates,
    reflected,
    resampled_within,
)
from ddpm_core.metrics.labels import Labels, as_many_like
from ddpm_core.metrics.metric import Metric, Rule

Features = NDArray[np.float32]

_TO = {"train": "training images", "test": "unseen images"}


def distances(data: EvalData) -> Iterator[Metric]:
    """In the features of each extractor that gives a distance."""
    for view in data.views:
        if view.distance is not None:
            draws, how = data.settings.floor_draws, data.resampling
            yield from frechet_distances(view.distance, view.rows, data.asked, view.judge.real, draws, how)


def ratio_metric(name: str, split: str) -> Metric:
    """The distance as a multiple of what real images score; of that to unseen images section gate may have a limit."""
    words = "{value:.4g} x ({low:.4g} to {high:.4g}) real images' at the same n"
    return Metric(
        f"{name}_ratio_{split}",
        f"distance to {_TO[split]}, as a multiple of what as many real images score",
        "lower",
        rule=Rule("ratio", "max_distance_ratio", f"{name} to test", words) if split == "test" else None,
    )


def frechet_distances(
    name: str, samples: Features, asked: Labels, real: RealFeatures, draws: int, how: Resampling
) -> list[Metric]:
    """The distances, their floors, the ratios of the two at the same n, and what infinitely many samples would score.

    `asked` are the labels that the samples were asked for, -1 for none.
    """
    test = gaussian_of(real.test_rows)
    at_train, _ = as_many_like(asked, real.test_labels)
    at_test, kept = as_many_like(asked, real.train_labels)
    if at_train < 2 or at_test < 2:
        raise DataError(
            f"a distance takes at least 2 samples and 2 images of each split; got {len(samples)} samples, "
            f"{len(real.train_rows)} training and {len(real.test_rows)} test images"
        )
    floor_train = subset_floor(real.test_rows, real.test_labels, asked[:at_train], real.train, draws, how.seed)
    floor_test = subset_floor(real.train_rows, real.train_labels, asked[:at_test], test, draws, how.seed)
    metrics = [
        *_distance(name, "train", (samples, asked), real.train, floor_train, at_train, how),
        *_distance(name, "test", (samples, asked), test, floor_test, at_test, how),
    ]
    if not kept:
        reason = "the training images kept (reference.features_kept) have too few of them, so it is of any labels"
        metrics.append(Metric(f"{name}_floor_test of the labels asked", "", left_out=reason))
    dims = samples.shape[1]
    end = Metric(
        f"{name}_infinity", "distance to train that infinitely many samples would have, by extrapolation", "lower",
        left_out=f"it takes more than {2 * dims} samples, there are {len(samples)}",
    )  # fmt: skip
    enough = enough_to_extrapolate(len(samples), dims)
    return [*metrics, end.measured(infinity(samples, asked, real.train, how.seed) if enough else None)]


def _distance(
    name: str, split: str, made: tuple[Features, Labels], side: Gaussian, floor: float, n: int, how: Resampling
) -> list[Metric]:
    samples, asked = made
    value, replicates = _resampled(samples, asked, side, how)
    equal_n, its = (value, replicates) if n == len(samples) else _resampled(samples[:n], asked[:n], side, how)
    # A floor of nothing (the splits are the same images) allows nothing, and gives no unit to compare in.
    unit = 1.0 / floor if floor > 0 else 0.0
    in_floors = Replicates(its.linear * unit, its.curved * unit)
    ratio = _ratio(equal_n, floor)
    unbiased = reflected(value, replicates, how.confidence).at_least_0()
    plain = Metric(
        f"{name}_{split}", f"Fréchet distance to {_TO[split]}", "lower", floor=f"{name}_floor_{split}",
        ratio=f"{name}_ratio_{split}", distance=(name, _TO[split]), tile=(f"{name} to {_TO[split]}", ".4g"),
    )  # fmt: skip
    return [
        plain.measured(value, unbiased if enough_to_extrapolate(*samples.shape) else None),
        Metric(f"{name}_floor_{split}", f"the same of as many real images, to {_TO[split]}", value=floor),
        ratio_metric(name, split).measured(ratio, around(ratio, in_floors, how.confidence).at_least_0(), in_floors),
    ]


def _resampled(samples: Features, asked: Labels, side: Gaussian, how: Resampling) -> tuple[float, Replicates]:
    signs = resampled_within(asked, how.rounds, how.seed)
    return distance(gaussian_of(samples), side), frechet_replicates(samples, side, signs)


def _ratio(value: float, floor: float) -> float:
    """A floor of nothing (the splits are the same images) allows nothing."""
    return value / floor if floor > 0 else (1.0 if value <= 0 else float(np.finfo(np.float32).max))
