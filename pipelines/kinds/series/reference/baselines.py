"""Baselines: what anybody would forecast or fill in without a network, with a spread measured on training windows.

last value       the last value that was told, and paths of the errors that this made on training windows
seasonal naive   the value one season back, and the errors of that
linear           the straight line between the told neighbours, and its errors at such a distance from them
climatology      training windows at the same place of the calendar, whatever was told
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.series.reference.windows import Rows, Windows
from pipelines.kinds.series.rows.frequency import DAY, Frequency

Floats = NDArray[np.float64]
Point = Callable[[Windows], Floats]

_PATHS = 400  # of errors that are kept, of each series
_LEVELS = (np.arange(99) + 0.5) / 99  # of the errors that are kept at each distance
_FEWEST = 20  # errors at a distance; of fewer those of all distances are used
_YEAR = 365.25 * DAY


class Baseline(Protocol):
    """A probabilistic forecast: [windows, m, columns, steps], about one number for each value where it has one."""

    @property
    def point(self) -> Point | None: ...

    def samples(self, windows: Windows, m: int, rng: np.random.Generator) -> Floats: ...


# ---- one number for each value


def last_value(windows: Windows) -> Floats:
    """The told value before, or where there is none the next; 0 (the mean) where nothing is told."""
    before, after, _, _ = _neighbours(windows)
    return np.nan_to_num(np.where(np.isnan(before), after, before))


def linear(windows: Windows) -> Floats:
    """In a straight line between the told neighbours; beyond the last of them its value."""
    before, after, since, until = _neighbours(windows)
    between = (before * until + after * since) / np.maximum(since + until, 1)
    one = np.where(np.isnan(before), after, before)
    return np.nan_to_num(np.where(np.isnan(before) | np.isnan(after) | (since == 0), one, between))


def seasonal(season: int) -> Point:
    """The told value one season back, or two, or more; where there is none the last value."""

    def point(windows: Windows) -> Floats:
        found = np.full(windows.truth.shape, np.nan)
        places = windows.told.shape[2]
        at = np.arange(places - windows.steps, places)
        for back in range(1, places // season + 1):
            source = at - back * season
            there = np.where(source >= 0, windows.told[:, :, np.maximum(source, 0)], np.nan)
            found = np.where(np.isnan(found), there, found)
        return np.where(np.isnan(found), last_value(windows), found)

    return point


def _neighbours(windows: Windows) -> tuple[Floats, Floats, Floats, Floats]:
    """The told values before and after each step that is answered (NaN: none), and how far away they are."""
    told = windows.told
    there, places = ~np.isnan(told), np.arange(told.shape[2])
    left = np.maximum.accumulate(np.where(there, places, -1), axis=2)
    right = np.minimum.accumulate(np.where(there, places, len(places))[:, :, ::-1], axis=2)[:, :, ::-1]
    before = np.where(left >= 0, np.take_along_axis(told, np.maximum(left, 0), axis=2), np.nan)
    after = np.where(right < len(places), np.take_along_axis(told, np.minimum(right, len(places) - 1), axis=2), np.nan)
    answered = slice(-windows.steps, None)
    return (
        before[:, :, answered],
        after[:, :, answered],
        (places - left)[:, :, answered].astype(np.float64),
        (right - places)[:, :, answered].astype(np.float64),
    )


def distances(windows: Windows) -> Rows:
    """How many steps each value is from the nearest told one: [windows, columns, steps]."""
    before, after, since, until = _neighbours(windows)
    nearest = np.minimum(np.where(np.isnan(before), np.inf, since), np.where(np.isnan(after), np.inf, until))
    return np.where(np.isinf(nearest), windows.told.shape[2], nearest).astype(np.int64)


# ---- with a spread


@dataclass(frozen=True, eq=False)
class Paths:
    """A point forecast and whole paths of its errors, drawn at random from those of the same series."""

    point: Point
    errors: Floats  # [paths, columns, steps]
    label: Rows  # [paths]

    def samples(self, windows: Windows, m: int, rng: np.random.Generator) -> Floats:
        chosen = np.empty((len(windows), m), dtype=np.int64)
        for label in np.unique(windows.label):
            mine, own = windows.label == label, np.flatnonzero(self.label == label)
            own = own if len(own) else np.arange(len(self.label))
            chosen[mine] = own[rng.integers(0, len(own), (int(mine.sum()), m))]
        return np.asarray(self.point(windows)[:, None] + self.errors[chosen])


def paths(point: Point, train: Windows, rng: np.random.Generator) -> tuple[Floats, Rows]:
    """The errors of a point forecast on training windows, and of which series they are. A missing one is another's."""
    found, labels = [], []
    for label in np.unique(train.label):
        windows = train.rows(_evenly(np.flatnonzero(train.label == label)))
        found.append(_filled((windows.truth - point(windows))[None], rng)[0])
        labels.append(windows.label)
    return np.concatenate(found), np.concatenate(labels)


def _evenly(rows: Rows) -> Rows:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _PATHS)).astype(np.int64)]


@dataclass(frozen=True, eq=False)
class ByDistance:
    """A point forecast and quantiles of its errors, by column and distance: [columns, classes, levels]."""

    point: Point
    errors: Floats

    def samples(self, windows: Windows, m: int, rng: np.random.Generator) -> Floats:
        levels = (np.arange(m) + 0.5) / m
        table = np.apply_along_axis(lambda kept: np.interp(levels, _LEVELS, kept), 2, self.errors)
        classes = np.minimum(_classes(windows), self.errors.shape[1] - 1)
        spread = table[np.arange(windows.truth.shape[1])[:, None], classes]  # [windows, columns, steps, m]
        return np.asarray(self.point(windows)[:, None] + np.moveaxis(spread, -1, 1))


def by_distance(point: Point, train: Windows, rng: np.random.Generator) -> Floats:
    """The errors on training windows of which a block of each column is hidden, of any length and at any place."""
    windows = _with_holes(train.rows(_evenly(np.arange(len(train)))), rng)
    errors, asked, classes = windows.truth - point(windows), windows.asked, _classes(windows)
    found = np.zeros((errors.shape[1], int(classes.max()) + 1, len(_LEVELS)))
    for column in range(errors.shape[1]):
        mine = asked[:, column]
        every, its = errors[:, column][mine], classes[:, column][mine]
        for number in range(found.shape[1]):
            some = every[its == number]
            some = some if len(some) >= _FEWEST else every
            found[column, number] = np.quantile(some, _LEVELS) if len(some) else 0.0
    return found


def _classes(windows: Windows) -> Rows:
    """Distances by powers of two, and whether there is a told value on both sides."""
    before, after, _, _ = _neighbours(windows)
    beyond = np.isnan(before) | np.isnan(after)
    return 2 * np.log2(np.maximum(distances(windows), 1)).astype(np.int64) + beyond


def _with_holes(windows: Windows, rng: np.random.Generator) -> Windows:
    told, steps = windows.told.copy(), windows.told.shape[2]
    for each in told.reshape(-1, steps):
        length = int(np.exp(rng.uniform(0.0, np.log(steps))))
        start = int(rng.integers(1 - length, steps))
        each[max(0, start) : start + length] = np.nan
    return Windows(told, windows.truth, windows.calendar, windows.label)


@dataclass(frozen=True, eq=False)
class Climatology:
    """Training windows of the same series at the nearest places of the calendar."""

    train: Windows
    point: None = None

    def samples(self, windows: Windows, m: int, rng: np.random.Generator) -> Floats:
        shape = windows.truth.shape
        found = np.empty((shape[0], m, *shape[1:]))
        for label in np.unique(windows.label):
            mine = np.flatnonzero(windows.label == label)
            own = np.flatnonzero(self.train.label == label)
            own = rng.permutation(own if len(own) else len(self.train))  # of equally near ones any
            calendars = self.train.calendar[own].reshape(len(own), -1)
            squares = (calendars * calendars).sum(axis=1)
            for row in mine:
                far = squares - 2.0 * calendars @ windows.calendar[row].reshape(-1)
                nearest = np.argsort(far.round(6), kind="stable")[: min(m, len(own))]
                found[row] = np.resize(self.train.truth[own[nearest]], found[row].shape)
        return _filled(found, rng)


def _filled(samples: Floats, rng: np.random.Generator) -> Floats:
    """A missing value of a sample is that of another; 0 (the mean) where all lack it."""
    missing = np.isnan(samples)
    for row, column, step in np.argwhere(missing.any(axis=1)):
        values = samples[row, :, column, step]
        gone = missing[row, :, column, step]
        values[gone] = rng.choice(values[~gone], int(gone.sum())) if not gone.all() else 0.0
    return samples


# ---- a season, and the errors that scale others


def season_of(train: Windows, spec: DataSpec, chosen: int | str) -> int:
    """The season in steps: as chosen, or the one by which training windows are forecast best; 1 where none fits."""
    if isinstance(chosen, int):
        return chosen
    most = train.told.shape[2] - train.steps or train.told.shape[2] // 2
    fitting = [season for season in _seasons(Frequency.of(spec.about["frequency"])) if 1 < season <= most]
    some = train.rows(_evenly(np.arange(len(train))))
    errors = {season: float(seasonal_errors(some, season, 1).mean()) for season in fitting}
    return min(errors, key=lambda season: errors[season]) if errors else 1


def _seasons(frequency: Frequency) -> Iterator[int]:
    """A day, a week, a year."""
    if frequency.months:
        yield 12 // frequency.count
        return
    yield from (round(turn / frequency.count) for turn in (DAY, 7 * DAY, _YEAR))


def seasonal_differences(windows: Windows, season: int) -> Floats:
    whole = windows.whole
    return np.asarray(whole[:, :, season:] - whole[:, :, :-season])


def seasonal_errors(train: Windows, season: int, labels: int) -> Floats:
    """Of each series and column, [labels, columns], the mean absolute difference of values a season apart.

    Where a series has none, that of all.
    """
    season = season if season < train.told.shape[2] else 1
    off = np.abs(seasonal_differences(train, season))
    there, off = ~np.isnan(off), np.nan_to_num(off)

    def mean(rows: NDArray[np.bool_]) -> Floats:
        count = there[rows].sum(axis=(0, 2))
        return np.where(count > 0, off[rows].sum(axis=(0, 2)) / np.maximum(count, 1), np.nan)

    of_all = np.nan_to_num(mean(np.ones(len(train), dtype=bool)))
    each = np.array([mean(train.label == label) for label in range(labels)])
    return np.where(np.isnan(each), of_all, each)


# ---- the baselines of a task


def points(spec: DataSpec, season: int) -> dict[str, Point]:
    """The point forecasts with a spread of their own, by name."""
    if spec.about["task"] == "impute":
        return {"linear": linear}
    return {"last value": last_value, **({"seasonal naive": seasonal(season)} if season > 1 else {})}
