"""What of the data the samples reach: every class by its label, and the neighbourhood of every unseen image."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError

_BLOCK = 1024


def class_accuracy(asked: NDArray[np.int64], called: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """For each class the share of samples asked for it that are called by it; NaN where none was asked for."""
    wanted = np.bincount(asked, minlength=classes)
    right = np.bincount(asked[asked == called], minlength=classes)
    return _shares(right, wanted)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Of reference images and samples in a space of features, each with a ball that reaches its k-th neighbour."""

    covered: NDArray[np.bool_]  # reference rows with a sample within their ball (Naeem et al. 2020, eq. 6)
    recalled: NDArray[np.bool_]  # reference rows within some sample's ball (Kynkaanniemi et al. 2019, eq. 2)
    precise: NDArray[np.bool_]  # samples within some reference row's ball (the same)
    density: float  # reference balls that a sample lies in, through k, on average (Naeem et al. 2020, eq. 5)


def coverage(reference: NDArray[np.float32], samples: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """Which reference rows have a sample nearer than their own k-th neighbour (Naeem et al. 2020, eq. 6)."""
    radius = _radius(reference, k)
    closest = np.concatenate([block.min(axis=1) for block in _squared(reference, samples)])
    return np.asarray(closest < radius)


def neighbours(reference: NDArray[np.float32], samples: NDArray[np.float32], k: int) -> Neighbours:
    """All four at once: the distances between the sets are found in one pass."""
    around_reference, around_samples = _radius(reference, k), _radius(samples, k)
    covered, recalled, balls = [], [], np.zeros(len(samples), dtype=np.int64)
    precise = np.zeros(len(samples), dtype=np.bool_)
    start = 0
    for block in _squared(reference, samples):
        radius = around_reference[start : start + len(block), None]
        start += len(block)
        covered.append(block.min(axis=1) < radius[:, 0])
        recalled.append((block <= around_samples).any(axis=1))
        precise |= (block <= radius).any(axis=0)
        balls += (block < radius).sum(axis=0)
    return Neighbours(np.concatenate(covered), np.concatenate(recalled), precise, float(balls.mean() / k))


def _radius(rows: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """The squared distance of each row to its k-th neighbour in its own set."""
    if len(rows) <= k:
        raise DataError(f"coverage takes more than k = {k} images, got {len(rows)}; lower evaluate.coverage_k")
    # Column 0 of a row's distances to its own set is the row itself.
    return np.concatenate([np.partition(block, k, axis=1)[:, k] for block in _squared(rows, rows)])


def _squared(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Squared distances of a's rows to b's, in blocks of a's rows."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    b_norm = (b64 * b64).sum(axis=1)
    for start in range(0, len(a64), _BLOCK):
        rows = a64[start : start + _BLOCK]
        yield np.maximum((rows * rows).sum(axis=1)[:, None] + b_norm - 2.0 * rows @ b64.T, 0.0)


def class_coverage(covered: NDArray[np.bool_], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The covered share of each class's reference rows; NaN where a class has none."""
    total = np.bincount(labels, minlength=classes)
    reached = np.bincount(labels[covered], minlength=classes)
    return _shares(reached, total)


def diversity(rows: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """For each class the mean squared distance of two of its rows; NaN where it has fewer than two."""
    found = np.full(classes, np.nan)
    for label in range(classes):
        own = rows[labels == label].astype(np.float64)
        if len(own) > 1:
            found[label] = 2.0 * own.var(axis=0, ddof=1).sum()
    return found


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
