"""The kernel distance (KID's) over all samples at once, with its own interval.

torch-fidelity's KID is a mean over random subsets, and the spread of those says little of how far it can be trusted.
Here the unbiased estimate takes every pair once, and the jackknife, which leaves out one image at a time, its spread:
never too small on average (Efron & Stein 1981), and needing no random draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import Interval, quantile

Features = NDArray[np.float32] | NDArray[np.float64]
Floats = NDArray[np.float64]

_BLOCK = 1024


@dataclass(frozen=True)
class KernelDistance:
    """The squared distance of means under the cubic kernel (x y / d + 1)^3, and its standard deviation."""

    value: float
    spread: float

    def interval(self, confidence: float) -> Interval:
        reach = quantile(confidence) * self.spread
        return Interval(self.value - reach, self.value + reach)


def kernel_distance(a: Features, b: Features) -> KernelDistance:
    """The unbiased estimate (Gretton et al. 2012, eq. 3; the kernel of Binkowski et al. 2018), any two counts."""
    if min(len(a), len(b)) < 3 or a.shape[1] != b.shape[1]:
        raise DataError(
            f"a kernel distance takes at least 3 images a side and equal features, got {a.shape} and {b.shape}"
        )
    n, m = len(a), len(b)
    own_a, own_b = _sums(a, a, skip_own=True), _sums(b, b, skip_own=True)
    cross_a, cross_b = _sums(a, b, skip_own=False), _sums(b, a, skip_own=False)
    within_a, within_b, cross = own_a.sum(), own_b.sum(), cross_a.sum()
    value = within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * cross / (n * m)
    without_a = (within_a - 2 * own_a) / ((n - 1) * (n - 2)) - 2 * (cross - cross_a) / ((n - 1) * m)
    without_b = (within_b - 2 * own_b) / ((m - 1) * (m - 2)) - 2 * (cross - cross_b) / (n * (m - 1))
    variance = without_a.var() * (n - 1) + without_b.var() * (m - 1)
    return KernelDistance(float(value), float(np.sqrt(variance)))


def _sums(rows: Features, others: Features, *, skip_own: bool) -> Floats:
    """For each row the sum of its kernel with the others, itself left out where the two sides are the same."""
    return np.concatenate(list(_blocks(rows, others, skip_own)))


def _blocks(rows: Features, others: Features, skip_own: bool) -> Iterator[Floats]:
    right = others.astype(np.float64)
    for start in range(0, len(rows), _BLOCK):
        left = rows[start : start + _BLOCK].astype(np.float64)
        sums = ((left @ right.T / left.shape[1] + 1.0) ** 3).sum(axis=1)
        own = ((left * left).sum(axis=1) / left.shape[1] + 1.0) ** 3 if skip_own else 0.0
        yield np.asarray(sums - own)
