"""Bits per dimension as tables: a mean with its standard error for each part of the bound, and for the ODE."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.schedule import Floats


@dataclass(frozen=True)
class Estimate:
    """A mean over data and its standard error; None if a single draw cannot give one."""

    mean: float
    standard_error: float | None


@dataclass(frozen=True)
class TermOfLevel:
    """L_{t-1} (L_0 at t = 1), the mean of `data` data."""

    t: int
    bits: Estimate
    data: int


@dataclass(frozen=True)
class BoundTable:
    """The bound: L_T + the sum of L_{t-1} over t = 2..T + L_0 = total."""

    L_T: Estimate
    L_between: Estimate
    L_0: Estimate
    total: Estimate
    terms: tuple[TermOfLevel, ...]


@dataclass(frozen=True)
class OdeTable:
    """-log2 p by the ODE; `hutchinson` is the part of the standard error from the probes."""

    bits: Estimate
    hutchinson: float | None
    evaluations: int


class Sums:
    """The three parts of every datum, and which group it came from."""

    def __init__(self) -> None:
        self._parts: list[tuple[Floats, Floats, Floats]] = []

    def add(self, prior: Floats, later: Floats, first: Floats) -> None:
        self._parts.append((prior, later, first))

    def table(self, terms: tuple[TermOfLevel, ...], *, each_alone: bool) -> BoundTable:
        prior, later, first = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        # Data that share a draw of the levels have correlated errors, so the groups are the independent units.
        shared = np.repeat(np.arange(len(self._parts)), [len(part[0]) for part in self._parts])
        alone = np.arange(len(prior))
        which = alone if each_alone else shared
        return BoundTable(
            estimate(prior, alone),
            estimate(later, which),
            estimate(first, alone),
            estimate(prior + later + first, which),
            terms,
        )


class Terms:
    """The mean of each level, from sums."""

    def __init__(self, T: int) -> None:
        self._count, self._sum, self._squares = (np.zeros(T + 1) for _ in range(3))

    def add(self, levels: NDArray[np.int64], terms: Floats) -> None:
        self._count[levels] += terms.shape[1]
        self._sum[levels] += terms.sum(1)
        self._squares[levels] += (terms**2).sum(1)

    def rows(self) -> tuple[TermOfLevel, ...]:
        found = []
        for t in np.flatnonzero(self._count).tolist():
            n, mean = int(self._count[t]), float(self._sum[t] / self._count[t])
            spread = max(float(self._squares[t]) / n - mean**2, 0.0)
            error = math.sqrt(spread / (n - 1)) if n > 1 else None
            found.append(TermOfLevel(t, Estimate(mean, error), n))
        return tuple(found)


def estimate(values: Floats, group: NDArray[np.int64]) -> Estimate:
    """The mean, and its standard error if the errors within a group are correlated."""
    mean, groups = float(values.mean()), int(group[-1]) + 1
    if groups < 2:
        return Estimate(mean, None)
    apart = np.bincount(group, weights=values - mean)
    return Estimate(mean, float(np.sqrt((apart**2).sum() * groups / (groups - 1)) / len(values)))
