"""From features and pixels to the flat table of numbers that stage evaluate writes; pure, in numpy.

Every distance stands beside its floor: what real images score at the same n. `to train` is held against unseen real
images, `to test` against random training images. Where the samples outnumber the images that a floor can be made of,
the ratio is taken of the first so many samples, so that both sides of it always have the same n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.coverage import class_accuracy, class_coverage, coverage
from ddpm_core.metrics.frechet import Gaussian, distance, gaussian_of, subset_floor
from ddpm_core.metrics.memorisation import Nearest, lone_copies, near_copies
from ddpm_core.metrics.pixels import constant_share, duplicate_share, saturated_share

Features = NDArray[np.float32]
Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RealFeatures:
    """Real images in an extractor's eyes: the whole training split as a Gaussian, some of its rows, all test rows."""

    train: Gaussian
    train_rows: Features
    test_rows: Features


def asked_labels(test_labels: Labels, n: int, seed: int) -> Labels:
    """Labels to ask for: as the test split has them, in a random order, repeated where n is more than it has."""
    order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(len(test_labels))
    return np.resize(test_labels[order], n).astype(np.int64)


def distances(name: str, samples: Features, real: RealFeatures, draws: int, seed: int) -> dict[str, float]:
    """The Fréchet distance to train and to test, each with its floor and the ratio of the two at the same n."""
    test = gaussian_of(real.test_rows)
    at_train = min(len(samples), len(real.test_rows))
    at_test = min(len(samples), len(real.train_rows))
    if at_train < 2 or at_test < 2:
        raise DataError(
            f"a distance takes at least 2 samples and 2 images of each split; got {len(samples)} samples, "
            f"{len(real.train_rows)} training and {len(real.test_rows)} test images"
        )
    floor_train = subset_floor(real.test_rows, real.train, at_train, draws, seed)
    floor_test = subset_floor(real.train_rows, test, at_test, draws, seed)
    return {
        f"{name}_train": distance(gaussian_of(samples), real.train),
        f"{name}_test": distance(gaussian_of(samples), test),
        f"{name}_floor_train": floor_train,
        f"{name}_floor_test": floor_test,
        f"{name}_ratio_train": _ratio(distance(gaussian_of(samples[:at_train]), real.train), floor_train),
        f"{name}_ratio_test": _ratio(distance(gaussian_of(samples[:at_test]), test), floor_test),
    }


def _ratio(value: float, floor: float) -> float:
    """A floor of nothing (the splits are the same images) allows nothing."""
    return value / floor if floor > 0 else (1.0 if value <= 0 else float(np.finfo(np.float32).max))


def reach(
    name: str, samples: Features, real: RealFeatures, test_labels: Labels, k: int, classes: int
) -> dict[str, float]:
    """The share of unseen real images that samples reach, beside what as many training images reach."""
    if len(real.test_rows) <= k:
        return {}
    covered = coverage(real.test_rows, samples, k)
    measures = {
        f"{name}_coverage": float(covered.mean()),
        f"{name}_coverage_real": float(coverage(real.test_rows, real.train_rows[: len(samples)], k).mean()),
    }
    if classes:
        measures[f"{name}_coverage_class_min"] = float(np.nanmin(class_coverage(covered, test_labels, classes)))
    return measures


def accuracy(asked: Labels, logits: NDArray[np.float32], classes: int) -> dict[str, float]:
    """How often samples are called by the label asked for: over all, and in the class where it is least often."""
    called = logits.argmax(axis=1)
    return {
        "accuracy_asked": float((called == asked).mean()),
        "accuracy_class_min": float(np.nanmin(class_accuracy(asked, called, classes))),
    }


def copies(samples: Nearest, heldout: Nearest, quantile: float, ratio: float) -> dict[str, float]:
    """Both counts of suspected copies, of samples and of unseen images, and how often chance alone does it."""
    near, lone = near_copies(samples, heldout, quantile), lone_copies(samples, heldout, ratio)
    return {
        f"{kind}_{what}": value
        for kind, found in (("near", near), ("lone", lone))
        for what, value in (("share", found.share), ("share_heldout", found.heldout), ("chance", found.chance))
    }


def pixel_faults(samples: Images, heldout: Images, top: int) -> dict[str, float]:
    """Shares of constant, repeated and saturated values among samples and among unseen images."""
    return {
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
