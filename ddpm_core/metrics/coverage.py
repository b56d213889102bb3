"""What of the data the samples reach: every class by its label, and the neighbourhood of every unseen image."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError

_BLOCK = 1024


def class_accuracy(asked: NDArray[np.int64], called: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """For each class the share of samples asked for it that are called by it; NaN where none was asked for."""
    wanted = np.bincount(asked, minlength=classes)
    right = np.bincount(asked[asked == called], minlength=classes)
    return _shares(right, wanted)


def coverage(reference: NDArray[np.float32], samples: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """Which reference rows have a sample nearer than their own k-th neighbour (Naeem et al. 2020, eq. 6)."""
    if len(reference) <= k:
        raise DataError(f"coverage takes more than k = {k} images, got {len(reference)}; lower evaluate.coverage_k")
    # Column 0 of a row's distances to its own set is the row itself.
    radius = np.concatenate([np.partition(block, k, axis=1)[:, k] for block in _squared(reference, reference)])
    closest = np.concatenate([block.min(axis=1) for block in _squared(reference, samples)])
    return np.asarray(closest < radius)


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


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
