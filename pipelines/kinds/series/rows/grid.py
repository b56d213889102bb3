"""Readings on the grid of their times: a column of values for every step, NaN where there is none."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.times import Moments, moments, zone_of
from pipelines.kinds.series.sources.found import SeriesListing

_EMPTIEST = 200  # steps a row, above which the grid is not that of the rows


@dataclass(frozen=True, eq=False)
class GriddedSeries:
    """One series. Step `first + i` is the time `times[i]`, shown by the clocks as `clock[i]`, and has the values
    `values[:, i]`."""

    name: str
    first: int
    times: Moments
    clock: Moments
    values: NDArray[np.float32]
    irregular: float
    backward: float
    static: NDArray[np.float64]  # a value for each of the source's static columns, NaN where no row has one

    @property
    def longest_gap(self) -> int:
        """Steps in a row without any value."""
        filled = np.flatnonzero(~np.isnan(self.values).all(axis=0))
        return int(np.diff(np.concatenate([[-1], filled, [self.values.shape[1]]])).max()) - 1

    @property
    def missing(self) -> float:
        """Share of the values."""
        return float(np.isnan(self.values).mean())


@dataclass(frozen=True, eq=False)
class Gridded:
    """All series of a source, in the order of their names, and the rows that have no place."""

    frequency: Frequency
    series: Sequence[GriddedSeries]
    rejected: Sequence[Rejected]


def on_grid(found: SeriesListing, frequency: str | None, time_zone: str | None) -> Gridded:
    """Put every reading on the grid. A time that is off it, there twice or no time of the zone has no place."""
    zone = zone_of(time_zone) if time_zone else None
    _check_offsets(found, zone)
    of_series: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(found.series):
        of_series[name].append(row)
    step = Frequency.of(frequency) if frequency else _commonest(found, of_series, zone)
    series, rejected = [], []
    for name in sorted(of_series):
        placed, faults = _placed(name, of_series[name], found, step, zone)
        rejected += faults
        series += [] if placed is None else [placed]
    return Gridded(step, series, rejected)


def _check_offsets(found: SeriesListing, zone: ZoneInfo | None) -> None:
    aware = [time.tzinfo is not None for time in found.times]
    if zone is None and any(aware) and not all(aware):
        raise DataError(
            f"source.time: all times must have an offset from UTC or none, but {found.places[aware.index(True)]} has "
            f"one and {found.places[aware.index(False)]} has not; source.time_zone is for those without"
        )


def _commonest(found: SeriesListing, of_series: dict[str, list[int]], zone: ZoneInfo | None) -> Frequency:
    """The frequency of the series with the most rows."""
    rows = max(of_series.values(), key=len, default=[])
    times, _ = moments([found.times[row] for row in rows], zone)
    step = Frequency.between(times[~np.isnat(times)])
    if step is None:
        raise DataError("source.path: a series must have two different times at least; give more rows")
    return step


def _placed(
    name: str, rows: list[int], found: SeriesListing, step: Frequency, zone: ZoneInfo | None
) -> tuple[GriddedSeries | None, list[Rejected]]:
    given = [found.times[row] for row in rows]
    times, faults = step.moments(given, zone)
    known = ~np.isnat(times)
    steps, on, phase = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_), 0
    steps[known], on[known], phase = step.steps(times[known])
    first_row: dict[int, int] = {}
    rejected = []
    static, differing = _static(found, rows)
    for place, row in enumerate(rows):
        if not faults[place] and place in differing:
            faults[place] = differing[place]
        elif not faults[place] and not on[place]:
            faults[place] = f"{given[place]} lies off the grid of {step.text} on which most of the times are"
        elif not faults[place] and (before := first_row.setdefault(int(steps[place]), row)) != row:
            faults[place] = f"{given[place]} is the time of {found.places[before]} too"
        if faults[place]:
            rejected.append(Rejected(found.places[row], faults[place]))
    if not first_row:
        return None, rejected
    kept = [place for place, fault in enumerate(faults) if not fault]
    first, last = int(steps[kept].min()), int(steps[kept].max())
    if last - first + 1 > _EMPTIEST * len(kept):
        raise DataError(
            f"source.frequency: series {name!r} would have {last - first + 1:,} steps of {step.text} for {len(kept):,} "
            "rows; give the step that its times have, or look for a time far from the others"
        )
    values = np.full((len(found.columns), last - first + 1), np.nan, dtype=np.float32)
    values[:, steps[kept] - first] = found.values[[rows[place] for place in kept]].T
    backward = float((np.diff(times[known]) < np.timedelta64(0, "s")).sum()) / len(rows)
    grid = step.times(np.arange(first, last + 1), phase)
    irregular = (len(rejected) - len(differing)) / len(rows)
    return GriddedSeries(name, first, grid, step.clock(grid, zone), values, irregular, backward, static), rejected


def _static(found: SeriesListing, rows: list[int]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """What the rows say of the series as a whole, and which of them say something else than the first that does."""
    static, differing = np.full(len(found.static_columns), np.nan), {}
    for column, name in enumerate(found.static_columns):
        said = found.static[rows, column]
        known = np.flatnonzero(~np.isnan(said))
        if len(known):
            static[column] = said[known[0]]
        for place in known[said[known] != static[column]]:
            first = found.places[rows[known[0]]]
            differing[int(place)] = f"{name} is {said[place]:g}, and {static[column]:g} for the same series in {first}"
    return static, differing
