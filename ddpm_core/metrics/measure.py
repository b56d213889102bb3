"""From features and pixels to the flat table of numbers that stage evaluate writes; pure, in numpy.

Every distance stands beside its floor: what real images of the labels asked score at the same n. `to train` is held
against unseen real images, `to test` against training images. Where the samples outnumber the images that a floor can
be made of, the ratio is taken of the first so many samples, so that both sides of it always have the same n.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.coverage import class_coverage, diversity, neighbours
from ddpm_core.metrics.frechet import (
    Gaussian,
    distance,
    enough_to_extrapolate,
    gaussian_of,
    infinity,
    subset_floor,
)
from ddpm_core.metrics.intervals import (
    Replicates,
    around,
    clopper_pearson,
    detectable,
    frechet_replicates,
    mean_replicates,
    reflected,
    resampled_within,
    wilson,
)
from ddpm_core.metrics.kernel import kernel_distance
from ddpm_core.metrics.labels import Labels, as_many_like
from ddpm_core.metrics.memorisation import Nearest, lone_copies, near_copies
from ddpm_core.metrics.pixels import constant_share, duplicate_share, saturated_share
from ddpm_core.metrics.spectrum import nyquist_energy

Features = NDArray[np.float32]
Images = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class RealFeatures:
    """Real images in an extractor's eyes: the whole training split as a Gaussian, some of its rows, all test rows.

    Rows stand beside their labels, -1 for none.
    """

    train: Gaussian
    train_rows: Features
    train_labels: Labels
    test_rows: Features
    test_labels: Labels


@dataclass(frozen=True)
class Trust:
    """How intervals are made: how many weightings of the samples, from which seed, at what confidence."""

    rounds: int
    seed: int
    confidence: float


@dataclass(frozen=True)
class Found:
    """Numbers by name; of some what each weighting of the samples changes; of those that cannot be had, the reason."""

    metrics: dict[str, float]
    replicates: dict[str, Replicates]
    left_out: dict[str, str]

    @classmethod
    def none(cls) -> "Found":
        return cls({}, {}, {})

    def add(self, other: "Found") -> None:
        self.metrics.update(other.metrics)
        self.replicates.update(other.replicates)
        self.left_out.update(other.left_out)


def distances(name: str, samples: Features, asked: Labels, real: RealFeatures, draws: int, trust: Trust) -> Found:
    """The Fréchet distance to train and to test: with its floor, the ratio of the two at the same n, and intervals.

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
    floor_train = subset_floor(real.test_rows, real.test_labels, asked[:at_train], real.train, draws, trust.seed)
    floor_test = subset_floor(real.train_rows, real.train_labels, asked[:at_test], test, draws, trust.seed)
    found = Found.none()
    if not kept:
        found.left_out[f"{name}_floor_test of the labels asked"] = (
            "the training images kept (reference.features_kept) have too few of them, so it is of any labels"
        )
    for split, side, floor, n in (("train", real.train, floor_train, at_train), ("test", test, floor_test, at_test)):
        found.add(_distance(name, split, (samples, asked), side, floor, n, trust))
    dims = samples.shape[1]
    if enough_to_extrapolate(len(samples), dims):
        found.metrics[f"{name}_infinity"] = infinity(samples, asked, real.train, trust.seed)
    else:
        found.left_out[f"{name}_infinity"] = f"it takes more than {2 * dims} samples, there are {len(samples)}"
    return found


def _distance(
    name: str, split: str, made: tuple[Features, Labels], side: Gaussian, floor: float, n: int, trust: Trust
) -> Found:
    found, (samples, asked) = Found.none(), made
    value, replicates = _resampled(samples, asked, side, trust)
    equal_n, its = (value, replicates) if n == len(samples) else _resampled(samples[:n], asked[:n], side, trust)
    # A floor of nothing (the splits are the same images) allows nothing, and gives no unit to compare in.
    unit = 1.0 / floor if floor > 0 else 0.0
    in_floors = Replicates(its.linear * unit, its.curved * unit)
    ratio = _ratio(equal_n, floor)
    ends = around(ratio, in_floors, trust.confidence).at_least_0()
    found.replicates[f"{name}_ratio_{split}"] = in_floors
    found.metrics.update(
        {
            f"{name}_{split}": value,
            f"{name}_floor_{split}": floor,
            f"{name}_ratio_{split}": ratio,
            f"{name}_ratio_{split}_low": ends.low,
            f"{name}_ratio_{split}_high": ends.high,
            f"{name}_ratio_{split}_detectable": detectable(in_floors.spread, trust.confidence),
        }
    )
    if enough_to_extrapolate(*samples.shape):
        unbiased = reflected(value, replicates, trust.confidence).at_least_0()
        found.metrics.update({f"{name}_{split}_low": unbiased.low, f"{name}_{split}_high": unbiased.high})
    return found


def _resampled(samples: Features, asked: Labels, side: Gaussian, trust: Trust) -> tuple[float, Replicates]:
    signs = resampled_within(asked, trust.rounds, trust.seed)
    return distance(gaussian_of(samples), side), frechet_replicates(samples, side, signs)


def _ratio(value: float, floor: float) -> float:
    """A floor of nothing (the splits are the same images) allows nothing."""
    return value / floor if floor > 0 else (1.0 if value <= 0 else float(np.finfo(np.float32).max))


def kernel(name: str, samples: Features, real: RealFeatures, confidence: float) -> dict[str, float]:
    """The interval of the kernel distance to the test split, from all pairs of images."""
    if min(len(samples), len(real.test_rows)) < 3:
        return {}
    ends = kernel_distance(samples, real.test_rows).interval(confidence)
    return {f"{name}_low": ends.low, f"{name}_high": ends.high}


def reach(name: str, samples: Features, real: RealFeatures, k: int) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """How samples and unseen real images lie among each other, beside what as many training images do."""
    if min(len(real.test_rows), len(samples)) <= k:
        return {}, np.zeros(len(real.test_rows), dtype=np.bool_)
    found = neighbours(real.test_rows, samples, k)
    measures = {
        f"{name}_coverage": float(found.covered.mean()),
        f"{name}_density": found.density,
        f"{name}_precision": float(found.precise.mean()),
        f"{name}_recall": float(found.recalled.mean()),
    }
    training = real.train_rows[: len(samples)]
    if len(training) > k:
        best = neighbours(real.test_rows, training, k)
        measures |= {
            f"{name}_coverage_real": float(best.covered.mean()),
            f"{name}_density_real": best.density,
            f"{name}_precision_real": float(best.precise.mean()),
            f"{name}_recall_real": float(best.recalled.mean()),
        }
    return measures, found.covered


def by_labels(
    name: str,
    samples: Features,
    asked: Labels,
    real: RealFeatures,
    labels: Labels,
    covered: NDArray[np.bool_],
    classes: int,
) -> dict[str, NDArray[np.float64]]:
    """For each class the covered share, and how diverse the samples asked for it are, 1 = as unseen real images."""
    shares = {f"{name}_coverage": class_coverage(covered, labels, classes)}
    if (asked >= 0).all():
        true = diversity(real.test_rows, labels, classes)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = diversity(samples, asked, classes) / true
        shares[f"{name}_diversity"] = np.where(np.isfinite(ratio), ratio, np.nan)
    return shares


def worst(per_class: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Of each measure by class the worst, where any class has one: the lowest, or of e the highest."""
    found = {}
    for name, values in per_class.items():
        if np.isnan(values).all():
            continue
        if name.startswith("energy_"):
            found[f"{name}_class_max"] = float(np.nanmax(values))
        else:
            found[f"{name}_class_min"] = float(np.nanmin(values))
    return found


def accuracy(asked: Labels, called: Labels, trust: Trust) -> Found:
    """How often samples are called by the label asked for."""
    right = called == asked
    ends = wilson(int(right.sum()), len(right), trust.confidence)
    replicates = mean_replicates(right.astype(np.float64), resampled_within(asked, trust.rounds, trust.seed))
    metrics = {
        "accuracy_asked": float(right.mean()),
        "accuracy_asked_low": ends.low,
        "accuracy_asked_high": ends.high,
        "accuracy_asked_detectable": detectable(replicates.spread, trust.confidence),
    }
    return Found(metrics, {"accuracy_asked": replicates}, {})


def copies(samples: Nearest, heldout: Nearest, quantile: float, ratio: float, confidence: float) -> dict[str, float]:
    """Both counts of suspected copies, of samples and of unseen images, and how often chance alone does it."""
    near, lone = near_copies(samples, heldout, quantile), lone_copies(samples, heldout, ratio)
    n = len(samples.first)
    return {
        f"{kind}_{what}": value
        for kind, found in (("near", near), ("lone", lone))
        for what, value in (
            ("share", found.share),
            ("share_high", clopper_pearson(round(found.share * n), n, confidence).high),
            ("share_heldout", found.heldout),
            ("chance", found.chance),
        )
    }


def pixel_faults(samples: Images, heldout: Images, top: int) -> dict[str, float]:
    """Shares of constant, repeated and saturated values among samples and unseen images, and a mesh in them."""
    meshes = {"nyquist_energy": nyquist_energy(samples), "nyquist_energy_heldout": nyquist_energy(heldout)}
    return {
        **{name: value for name, value in meshes.items() if value is not None},
        "constant_share": constant_share(samples),
        "constant_share_heldout": constant_share(heldout),
        "duplicate_share": duplicate_share(samples),
        "duplicate_share_heldout": duplicate_share(heldout),
        "saturated_share": saturated_share(samples, top),
        "saturated_share_heldout": saturated_share(heldout, top),
    }


def rounded(measures: dict[str, float], digits: int = 9) -> dict[str, float]:
    """Numbers to so many significant digits: fewer than any round-off of summation order reaches."""
    return {name: float(f"{float(value):.{digits}g}") for name, value in measures.items()}


def by_class(labels: Labels, classes: Sequence[str], columns: int) -> list[tuple[str, list[int]]]:
    """For a grid: each class's name and its first few positions; one unnamed group where there are no classes."""
    if not classes:
        return [("", list(range(min(len(labels), columns * columns))))]
    return [(name, np.flatnonzero(labels == label)[:columns].tolist()) for label, name in enumerate(classes)]
