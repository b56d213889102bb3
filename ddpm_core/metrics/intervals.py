"""How far a number of this many samples can be trusted: intervals, and the smallest difference that would be told.

A Fréchet distance of n samples is too large by a bias of about the size of what is to be seen. The percentile bootstrap
adds that bias a second time and misses the truth nearly always; here the resampling measures the bias, and the interval
is reflected: around 2 f - mean(f*). Each replicate is split into the part that is linear in the weights of the samples
and the rest. Near equal distributions the variance of the whole counts the rest three times (its linear part is itself
made of noise); the split tells how much, and it is taken off.

In a round half of the samples, drawn anew, weigh 1 + STEP and the others 1 - STEP. Counts of drawing with replacement
would serve too, but the squares of their deviations from 1 differ from round to round, and with many features that
noise nearly doubles the variance of the rest; here all are the same, or nearly (of an odd number). What is linear goes
as STEP, the rest as STEP^2, and its next order as STEP^4; in the bias of n samples that order is a third of what
weights 0 and 2 make of it, hence STEP. benchmarks/interval_coverage.py counts how often the intervals cover.

Another draw of samples is asked for the same labels, so chance is only in what came of each. Where samples have labels,
every label therefore keeps its weight in each round. Without that the intervals of the default run were two to four
times too wide: they held the chance of how often each class comes, which is no property of a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.frechet import Features, Gaussian, distance, gaussian_of

Floats = NDArray[np.float64]

_WORK = 2e12  # multiplications that the rounds of one distance may take, but for the first of them
_FEWEST = 16
STEP = 3.0**-0.5
RESAMPLING = "halves within labels"  # for records: replicates of another kind are paired with none of these
_FEW = 2  # samples of a label; labels of fewer are halved together, for of one alone nothing can be told
POWER = 0.8  # of the smallest difference that is told: in so many draws


@dataclass(frozen=True)
class Interval:
    low: float
    high: float

    def at_least_0(self) -> "Interval":
        """For what cannot be negative."""
        return Interval(max(self.low, 0.0), max(self.high, 0.0))


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: how many weightings of the samples, from which seed, at what confidence."""

    rounds: int
    seed: int
    confidence: float


@dataclass(frozen=True, eq=False)
class Replicates:
    """What each resampling adds to a value: the part linear in the weights, and the rest. Both [rounds].

    The rest is NaN in the rounds for which it was not worked out.
    """

    linear: Floats
    curved: Floats

    @property
    def bias(self) -> float:
        """By how much a value of so many samples lies above that of infinitely many, on average."""
        return float(np.nanmean(self.curved))

    @property
    def spread(self) -> float:
        """The standard deviation of the value from one draw of samples to another.

        Var(linear) = V1 + 2 V2 and Var(curved) = V2, where V1 + V2 is wanted, V1 what is linear in the samples. Of
        few samples for their many features the two parts go against each other, and the whole is the better bound.
        """
        linear, curved = float(self.linear.var(ddof=1)), float(np.nanvar(self.curved, ddof=1))
        whole = float(np.nanvar(self.linear + self.curved, ddof=1))
        return float(np.sqrt(min(max(linear - curved, curved), whole)))

    def minus(self, other: "Replicates") -> "Replicates":
        """Of the difference of two values; where both were weighted alike, sample by sample, it is paired."""
        if len(self.linear) != len(other.linear):
            raise DataError(
                f"two values must be resampled equally often to be compared, got {len(self.linear)} and "
                f"{len(other.linear)} rounds; measure both with the same evaluate.resamples"
            )
        return Replicates(self.linear - other.linear, self.curved - other.curved)


def quantile(confidence: float) -> float:
    """How many standard deviations a two-sided interval reaches."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def reflected(value: float, replicates: Replicates, confidence: float) -> Interval:
    """Of the value that infinitely many samples would have: 2 f - mean(f*), plus and minus."""
    reach = quantile(confidence) * replicates.spread
    return Interval(value - replicates.bias - reach, value - replicates.bias + reach)


def around(value: float, replicates: Replicates, confidence: float) -> Interval:
    """Of the value that another draw of as many samples would have on average, the bias left in."""
    reach = quantile(confidence) * replicates.spread
    return Interval(value - reach, value + reach)


def detectable(spread: float, confidence: float) -> float:
    """The smallest difference of two such values that is told in POWER of draws, where the draws are not paired."""
    return (quantile(confidence) + NormalDist().inv_cdf(POWER)) * float(np.sqrt(2.0)) * spread


def resampled(n: int, rounds: int, seed: int) -> Floats:
    """Which half of n samples weighs more in each round, [rounds, n] of 1 and -1; the same for every model at this n.

    Of an odd number one half is larger and changes by less, now the heavier one and now the other, so that in every
    round the sum is 0 and the mean of the squares 1. One sample alone has nothing to be weighed against: 0.
    """
    if n < 2:
        return np.zeros((rounds, n))
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    heavier = n // 2 + (rng.integers(0, 2, (rounds, 1)) if n % 2 else np.zeros((rounds, 1), dtype=np.int64))
    up = np.sqrt((n - heavier) / heavier)
    place = rng.permuted(np.tile(np.arange(n), (rounds, 1)), axis=1)
    return np.where(place < heavier, up, -1.0 / up)


def resampled_within(labels: NDArray[np.int64], rounds: int, seed: int) -> Floats:
    """The same within each label (-1: none), so that a label gains or loses no weight. [rounds, n]"""
    names, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    groups = np.where(counts < _FEW, -1, names)[which]
    signs = np.empty((rounds, len(labels)))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        signs[:, rows] = resampled(len(rows), rounds, seed + 1 + int(group))
    return signs


def mean_replicates(values: Floats, signs: Floats) -> Replicates:
    """Of a mean, which has no bias: all of it is linear."""
    return Replicates(np.asarray(signs @ values / len(values), dtype=np.float64), np.zeros(len(signs)))


def frechet_replicates(features: Features, reference: Gaussian, signs: Floats) -> Replicates:
    """Of the Fréchet distance of samples to a fixed reference.

    The linear part comes from the distance's derivative at the samples, found once; the whole from the weighted
    moments in the reference's own axes, where one product and one small eigenvalue problem a round do. Of very many
    samples with very many features, the whole is worked out for the first rounds alone.
    """
    rows = np.asarray(features, dtype=np.float64)
    n, mean = len(rows), rows.mean(axis=0)
    centred = rows - mean
    turned = centred @ reference.factor
    gap = mean - reference.mean
    squares = (centred * centred).sum(axis=1)
    value = distance(gaussian_of(rows), reference)
    constant = float(np.trace(reference.cov))
    slopes = 2.0 * centred @ gap + (squares - _transported(turned)) * n / (n - 1)
    linear = signs @ slopes / n
    gram = turned @ turned.T if n < turned.shape[1] else None
    few, many = sorted((n, turned.shape[1]))
    solved = min(len(signs), max(_FEWEST, int(_WORK / (few * few * many))))
    whole = np.full(len(signs), np.nan)
    for number, sign in enumerate(signs[:solved]):
        weights = 1.0 + STEP * sign
        shift = weights @ centred / n
        trace = (weights @ squares - n * shift @ shift) / (n - 1)
        roots = _roots(turned, weights) if gram is None else _roots_of_gram(gram, weights)
        whole[number] = (gap + shift) @ (gap + shift) + trace + constant - 2.0 * roots
    return Replicates(linear, (whole - value - STEP * linear) / STEP**2)


def _transported(turned: Floats) -> Floats:
    """x^T T x of each centred sample, T the derivative of 2 tr (C_a C_b)^(1/2): from the eigenvalues of F^T C_a F."""
    values, vectors = np.linalg.eigh(turned.T @ turned / (len(turned) - 1))
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    along = turned @ vectors[:, kept]
    return np.asarray((along * along / np.sqrt(values[kept])).sum(axis=1))


def _roots(turned: Floats, weights: Floats) -> float:
    """tr (F^T C_w F)^(1/2) of the weighted covariance."""
    n = len(turned)
    shift = weights @ turned / n
    cov = ((turned * weights[:, None]).T @ turned - n * np.outer(shift, shift)) / (n - 1)
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(cov), 0.0)).sum())


def _roots_of_gram(gram: Floats, weights: Floats) -> float:
    """The same from the products of the samples with one another, where they are fewer than the features."""
    n = len(gram)
    means = gram @ weights / n
    centred = gram - means[:, None] - means + weights @ means / n
    scale = np.sqrt(weights)
    inner = scale[:, None] * centred * scale / (n - 1)
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(inner), 0.0)).sum())


def wilson(part: int, whole: int, confidence: float) -> Interval:
    """Of a share: Wilson's score interval (1927), which holds its coverage near 0 and 1 too."""
    z = quantile(confidence)
    share, extra = part / whole, z * z / whole
    middle = (share + extra / 2) / (1 + extra)
    reach = z / (1 + extra) * float(np.sqrt(share * (1 - share) / whole + extra / (4 * whole)))
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def clopper_pearson(part: int, whole: int, confidence: float) -> Interval:
    """Of a share: the exact interval (1934), at least as wide as it must be; for counts near none."""
    tail = (1 - confidence) / 2
    low = 0.0 if part == 0 else _solved(lambda p: 1 - _at_most(part - 1, whole, p), tail)
    high = 1.0 if part == whole else _solved(lambda p: -_at_most(part, whole, p), -tail)
    return Interval(low, high)


def _at_most(k: int, n: int, p: float) -> float:
    """P(a binomial count <= k)."""
    counts = np.arange(k + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    terms = logs[n] - logs[counts] - logs[n - counts] + counts * np.log(p) + (n - counts) * np.log1p(-p)
    return float(np.exp(terms).sum())


def _solved(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2
