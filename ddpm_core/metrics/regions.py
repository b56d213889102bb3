"""Which share of the data the samples have lost: regions of real data that samples hardly reach.

A region is a cluster of training images in an extractor's features. A region counts as lost where samples fill it less
than a quarter as often as unseen images do. One clustering is a matter of luck, so several are averaged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import Replicates

Features = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

REGIONS, CLUSTERINGS = 16, 8
_QUARTER = 0.25
_ITERATIONS, _MOST_ROWS = 20, 2000
_ROWS_A_REGION = 4  # fewer training images than this for each region: take fewer regions


@dataclass(frozen=True, eq=False)
class Regions:
    """Clusterings of training images: the centres of each, [regions, dims]."""

    centres: tuple[Floats, ...]

    def of(self, rows: Features) -> tuple[Rows, ...]:
        """The region of each row, in each clustering."""
        return tuple(_nearest(rows.astype(np.float64), centres) for centres in self.centres)


@dataclass(frozen=True, eq=False)
class Lost:
    """The share of unseen images in lost regions, and what resampling adds."""

    value: float
    replicates: Replicates


def make_regions(training: Features) -> Regions:
    """k-means (Lloyd 1982) from k-means++ starts (Arthur and Vassilvitskii 2007), each from a seed of its own."""
    rows = training[:_MOST_ROWS].astype(np.float64)
    count = min(REGIONS, len(rows) // _ROWS_A_REGION)
    if count < 2:
        raise DataError(f"regions take at least {2 * _ROWS_A_REGION} training images, got {len(rows)}")
    return Regions(tuple(_clustered(rows, count, seed) for seed in range(CLUSTERINGS)))


def lost(samples: Features, unseen: Features, regions: Regions, rounds: int, seed: int) -> Lost:
    """The share of unseen images in lost regions, averaged over the clusterings."""
    mine, its = regions.of(samples), regions.of(unseen)
    counts = [len(centres) for centres in regions.centres]
    whole = np.ones((1, len(samples)), dtype=np.int64), np.ones((1, len(unseen)), dtype=np.int64)
    value = float(_lost(mine, its, whole, counts)[0])
    times = (_drawn(len(samples), rounds, seed), _drawn(len(unseen), rounds, seed + 1))
    drawn = _lost(mine, its, times, counts)
    return Lost(value, Replicates(drawn - drawn.mean(), np.zeros(rounds)))


def lost_regions(samples: Features, unseen: Features, regions: Regions) -> list[Rows]:
    """For each lost region of the first clustering the unseen images in it, the fullest region first."""
    count = len(regions.centres[0])
    mine, its = (_nearest(rows.astype(np.float64), regions.centres[0]) for rows in (samples, unseen))
    q, p = (_shares(side, np.ones((1, len(side)), dtype=np.int64), count)[0] for side in (mine, its))
    gone = np.flatnonzero((p > 0) & (q < _QUARTER * p))
    return [np.flatnonzero(its == region) for region in gone[np.argsort(-p[gone], kind="stable")]]


def _lost(mine: tuple[Rows, ...], its: tuple[Rows, ...], times: tuple[Rows, Rows], counts: list[int]) -> Floats:
    """For each round the share in lost regions. `times`: how often each row was drawn, [rounds, rows] of both sides."""
    total = np.zeros(len(times[0]))
    for own, unseen, count in zip(mine, its, counts, strict=True):
        q, p = _shares(own, times[0], count), _shares(unseen, times[1], count)
        total += np.where(q < _QUARTER * p, p, 0.0).sum(axis=1)
    return total / len(mine)


def _shares(regions: Rows, times: Rows, count: int) -> Floats:
    """[rounds, count]: the share of draws that lies in each region."""
    inside = (regions[:, None] == np.arange(count)).astype(np.float64)
    return np.asarray(times @ inside / len(regions))


def _drawn(n: int, rounds: int, seed: int) -> Rows:
    """How often each of n rows is drawn when n are drawn with replacement. [rounds, n]"""
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    return np.asarray(rng.multinomial(n, np.full(n, 1.0 / n), size=rounds))


def _clustered(rows: Floats, count: int, seed: int) -> Floats:
    rng = np.random.Generator(np.random.Philox(key=[seed, count]))
    centres = _spread_starts(rows, count, rng)
    for _ in range(_ITERATIONS):
        nearest = _nearest(rows, centres)
        sizes = np.bincount(nearest, minlength=count)
        sums = (nearest == np.arange(count)[:, None]).astype(np.float64) @ rows  # far faster than np.add.at
        moved = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _spread_starts(rows: Floats, count: int, rng: np.random.Generator) -> Floats:
    """k-means++: each further start is drawn by its squared distance to the nearest one so far."""
    squares = (rows * rows).sum(axis=1)

    def gap_to(nth: int) -> Floats:
        gap = np.maximum(squares - 2.0 * (rows @ rows[nth]) + squares[nth], 0.0)
        gap[nth] = 0.0  # but for round-off
        return np.asarray(gap)

    chosen = [int(rng.integers(len(rows)))]
    gap = gap_to(chosen[0])
    for _ in range(count - 1):
        total = gap.sum()
        nth = int(rng.choice(len(rows), p=gap / total)) if total > 0 else int(rng.integers(len(rows)))
        chosen.append(nth)
        gap = np.minimum(gap, gap_to(nth))
    return rows[chosen].copy()


def _nearest(rows: Floats, centres: Floats) -> Rows:
    return np.asarray(((centres * centres).sum(axis=1) - 2.0 * rows @ centres.T).argmin(axis=1))
