"""The Fréchet distance between two sets of features, each taken as a Gaussian.

Moments are gathered in a stream, so that a set of any size fits in memory, and the result does not depend on how it
was cut into batches. The distance needs one symmetric eigenvalue problem: with C_b = F F^T,
tr (C_a C_b)^(1/2) is the sum of the roots of the eigenvalues of F^T C_a F, and F is found once for a reference.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.labels import Labels, even_order, rows_like

Features = NDArray[np.float32] | NDArray[np.float64]

_SIZES = 10  # of the sets of samples that the extrapolation is made of


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and covariance (divided by n - 1) of n rows of features, in float64."""

    n: int
    mean: NDArray[np.float64]
    cov: NDArray[np.float64]

    @cached_property
    def factor(self) -> NDArray[np.float64]:
        """F with F F^T = cov; eigenvalues below zero are round-off and count as zero."""
        values, vectors = np.linalg.eigh(self.cov)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


@dataclass(frozen=True, eq=False)
class RealFeatures:
    """Real images in an extractor's eyes: the whole training split as a Gaussian, some of its rows, all test rows.

    Rows stand beside their labels, -1 for none.
    """

    train: Gaussian
    train_rows: NDArray[np.float32]
    train_labels: Labels
    test_rows: NDArray[np.float32]
    test_labels: Labels


class Moments:
    """A running mean and scatter of rows; batches may come in any size and order, and two can be merged."""

    def __init__(self, dims: int) -> None:
        self.n = 0
        self._mean = np.zeros(dims)
        self._scatter = np.zeros((dims, dims))

    def update(self, features: Features) -> None:
        """Take in a batch of rows, [n, dims]."""
        rows = np.asarray(features, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self._mean):
            raise DataError(f"features must have the shape (n, {len(self._mean)}), got {rows.shape}")
        if not np.isfinite(rows).all():
            raise DataError("features must be finite; some are not, so the extractor or its input is broken")
        if len(rows) == 0:
            return
        mean = rows.mean(axis=0)
        centred = rows - mean
        self._combine(len(rows), mean, centred.T @ centred)

    def merge(self, other: "Moments") -> None:
        """Take in what another stream has gathered."""
        if other.n:
            self._combine(other.n, other._mean, other._scatter)

    def _combine(self, n: int, mean: NDArray[np.float64], scatter: NDArray[np.float64]) -> None:
        # Chan, Golub, LeVeque 1979, eq. 2.1: no large sums are subtracted from one another.
        total = self.n + n
        delta = mean - self._mean
        self._scatter += scatter + np.outer(delta, delta) * (self.n * n / total)
        self._mean = self._mean + delta * (n / total)
        self.n = total

    def gaussian(self) -> Gaussian:
        """What was gathered so far; a covariance takes at least two rows."""
        if self.n < 2:
            raise DataError(f"a covariance takes at least 2 images, got {self.n}")
        return Gaussian(n=self.n, mean=self._mean.copy(), cov=self._scatter / (self.n - 1))


def gaussian_of(features: Features) -> Gaussian:
    """The Gaussian of features that are all in memory."""
    moments = Moments(features.shape[1])
    moments.update(features)
    return moments.gaussian()


def distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Dowson, Landau 1982, eq. 4); b's factor is reused."""
    if a.mean.shape != b.mean.shape:
        raise DataError(f"both sides must have the same number of features, got {len(a.mean)} and {len(b.mean)}")
    factor = b.factor
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(factor.T @ a.cov @ factor), 0.0))
    gap = a.mean - b.mean
    return float(max(gap @ gap + np.trace(a.cov) + np.trace(b.cov) - 2.0 * roots.sum(), 0.0))


def distance_of_rows(features: Features, b: Gaussian) -> float:
    """The distance of features in memory; of fewer rows than features by the products of the rows, which is cheaper."""
    n, dims = features.shape
    if n > dims:
        return distance(gaussian_of(features), b)
    rows = np.asarray(features, dtype=np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    turned = centred @ b.factor
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(turned @ turned.T / (n - 1)), 0.0))
    gap = mean - b.mean
    own = float((centred * centred).sum()) / (n - 1)
    return float(max(gap @ gap + own + np.trace(b.cov) - 2.0 * roots.sum(), 0.0))


def subset_floor(pool: Features, labels: Labels, asked: Labels, reference: Gaussian, draws: int, seed: int) -> float:
    """What real images of the labels asked score: the mean distance of random subsets of the pool to the reference."""
    n = len(asked)
    if not 2 <= n <= len(pool):
        raise DataError(f"a subset must have 2 to {len(pool)} images, as many as the pool has, got {n}")
    if n == len(pool):
        return distance_of_rows(pool, reference)
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    picks = (rows_like(asked, labels, rng) for _ in range(draws))
    return float(np.mean([distance_of_rows(pool[pick], reference) for pick in picks]))


def infinity(features: Features, asked: Labels, reference: Gaussian, seed: int) -> float:
    """The distance of infinitely many samples: that of more and more of them, extrapolated (Chong & Forsyth 2020).

    The bias falls as 1 / n, so a straight line over 1 / n meets it at 0. A covariance takes at least twice as many
    samples as there are features; where a fifth of the samples is fewer, the line starts there. Every part of the
    samples has the labels asked in equal shares.
    """
    n, dims = features.shape
    fewest = max(n // 5, 2 * dims)
    if not enough_to_extrapolate(n, dims):
        raise DataError(f"to extrapolate takes more than {2 * dims} samples, twice the features, got {n}")
    # Drawn from the rows in an order of their own, so that the order in which they came changes nothing.
    order = np.lexsort((asked, *features.T))[np.random.Generator(np.random.Philox(key=[seed, n])).permutation(n)]
    order = order[even_order(asked[order])]
    sizes = np.unique(np.linspace(fewest, n, _SIZES).astype(np.int64))
    values = [distance(gaussian_of(features[np.sort(order[:size])]), reference) for size in sizes]
    slope_and_end = np.linalg.lstsq(np.stack([1.0 / sizes, np.ones(len(sizes))], axis=1), np.array(values), rcond=None)
    return float(slope_and_end[0][1])


def enough_to_extrapolate(n: int, dims: int) -> bool:
    """Whether the bias of so many samples is told by smaller sets of them."""
    return n > 2 * dims
