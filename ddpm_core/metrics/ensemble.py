"""Samples of unseen windows of series beside what came, and numbers that are a sum over windows divided by another.

Neighbours in time are alike, so what is drawn anew for an interval is not a window but a block of windows: all whose
targets begin in the same stretch of time, of whatever series.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import Replicates, Resampling, around, resampled
from ddpm_core.metrics.metric import Metric

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """m samples of each window and the truth, of the columns in units of their standard deviation."""

    samples: Floats  # [windows, m, columns, steps]
    truth: Floats  # [windows, columns, steps], of which only those values count ...
    counts: NDArray[np.bool_]  # ... that are there and were not told

    def __post_init__(self) -> None:
        windows, m, *shape = self.samples.shape
        if self.truth.shape != (windows, *shape) or self.counts.shape != self.truth.shape or m < 2:
            raise DataError(
                "an ensemble takes at least 2 samples of each window and a truth of their shape, got samples "
                f"{self.samples.shape}, truth {self.truth.shape} and counts {self.counts.shape}"
            )

    @property
    def m(self) -> int:
        return int(self.samples.shape[1])

    @cached_property
    def known(self) -> Floats:
        """The truth, 0 where it does not count."""
        return np.where(self.counts, self.truth, 0.0)

    @cached_property
    def ordered(self) -> Floats:
        """The samples in rising order, on the last axis: [windows, columns, steps, m]."""
        return np.sort(np.moveaxis(self.samples, 1, -1).astype(np.float64), axis=-1)

    def quantile(self, level: float) -> Floats:
        """[windows, columns, steps], between two samples in a straight line."""
        place = level * (self.m - 1)
        below = min(int(place), self.m - 2)
        share = place - below
        return np.asarray((1 - share) * self.ordered[..., below] + share * self.ordered[..., below + 1])

    @cached_property
    def mean(self) -> Floats:
        return np.asarray(self.samples.mean(axis=1, dtype=np.float64))

    def ratio(self, values: Floats) -> "Ratio":
        """The mean of values [windows, columns, steps] over all that counts."""
        return Ratio(np.where(self.counts, values, 0.0).sum(axis=(1, 2)), self.counts.sum(axis=(1, 2)).astype(float))


@dataclass(frozen=True, eq=False)
class Ratio:
    """Each window's part of a sum and of what it is divided by, both [windows]."""

    over: Floats
    under: Floats

    @property
    def value(self) -> float:
        return float(self.over.sum() / self.under.sum())

    def replicates(self, signs: Floats) -> Replicates:
        """What each weighting of the windows, [rounds, windows], adds to the value, to first order."""
        linear = signs @ (self.over - self.value * self.under) / self.under.sum()
        return Replicates(np.asarray(linear, dtype=np.float64), np.zeros(len(signs)))


@dataclass(frozen=True, eq=False)
class Weighings:
    """How the windows are weighed in each round, block by block, and the confidence of the intervals."""

    signs: Floats
    confidence: float

    @classmethod
    def of(cls, blocks: Rows, how: Resampling) -> "Weighings":
        """Of the number of each window's block, in any numbering."""
        names, which = np.unique(blocks, return_inverse=True)
        return cls(resampled(len(names), how.rounds, how.seed)[:, which], how.confidence)

    def measured(self, metric: Metric, ratio: Ratio, scale: float = 1.0, shift: float = 0.0) -> Metric:
        """The metric with `shift + scale * ratio` as its value."""
        its = ratio.replicates(self.signs)
        return self._with(metric, shift + scale * ratio.value, Replicates(scale * its.linear, its.curved))

    def root(self, metric: Metric, ratio: Ratio) -> Metric:
        """The metric with the root of a ratio as its value."""
        value = float(np.sqrt(ratio.value))
        its = ratio.replicates(self.signs)
        return self._with(metric, value, Replicates(its.linear / (2 * value) if value else its.linear, its.curved))

    def mean(self, metric: Metric, ratios: Mapping[str, Ratio]) -> Metric:
        """The metric with the mean of several ratios as its value."""
        each = [ratio.replicates(self.signs) for ratio in ratios.values()]
        linear = np.mean([of.linear for of in each], axis=0)
        value = float(np.mean([ratio.value for ratio in ratios.values()]))
        return self._with(metric, value, Replicates(linear, np.zeros(len(linear))))

    def _with(self, metric: Metric, value: float, its: Replicates) -> Metric:
        return metric.measured(value, around(value, its, self.confidence), its)
