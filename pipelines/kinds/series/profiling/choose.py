"""From a table with times to parameters of a forecast: each value with its reason."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.errors import DataError
from pipelines.kinds.choice import Chosen, ProfileRequest, Setting, source_text
from pipelines.kinds.series.rows.frequency import DAY, Frequency
from pipelines.kinds.series.rows.grid import Gridded, on_grid
from pipelines.kinds.series.sources.csv_files import CsvFiles
from pipelines.kinds.series.sources.found import SeriesListing
from pipelines.kinds.series.sources.parquet_files import ParquetFiles
from pipelines.kinds.series.sources.window import ForecastWindow
from pipelines.kinds.table_columns import left_out, nearly_numbers, wild_values
from pipelines.kinds.table_profile import Column, TableProfile
from pipelines.kinds.time_formats import example

_WINDOWS_MOST, _WINDOWS_ENOUGH, _GATE_NEEDS, _TRAIN_LEAST = 2_000, 200, 100, 64
_SEASONS_TOLD = (8, 4, 3, 2, 1)
_OF_TEXT = ("delimiter", "decimal", "time_format", "missing")


@dataclass(frozen=True)
class _Spans:
    """The lengths of the series and what is cut from them."""

    lengths: Sequence[int]
    season: int
    history: int
    horizon: int
    stride: int
    test_fraction: float

    @property
    def test_stride(self) -> int:
        """Above the horizon, and without a common factor with the season, so that the test begins at every hour."""
        return next(step for step in range(self.horizon + 1, 3 * self.horizon + 9) if math.gcd(step, self.season) == 1)

    def lags(self) -> list[int]:
        wanted = dict.fromkeys((1, 2, self.season, 7 * self.season))
        return [lag for lag in wanted if lag < self.history] or [1]

    def train(self) -> int:
        return sum(len(range(0, self._cut(n) - self.history - self.horizon + 1, self.stride)) for n in self.lengths)

    def test(self) -> int:
        starts = (range(max(0, self._cut(n) - self.history), n - self.history - self.horizon + 1, self.test_stride)
                  for n in self.lengths)  # fmt: skip
        return sum(len(each) for each in starts)

    def _cut(self, n: int) -> int:
        return math.ceil((1 - self.test_fraction) * n)


def parameters_for(request: ProfileRequest) -> Chosen | None:
    """Of a table with times."""
    table = request.table
    return None if table is None or table.time is None else choose(table, request.path(request.place))


def choose(table: TableProfile, path: str) -> Chosen:
    time = table.time
    if time is None:
        raise DataError(f"--data: {table.path} must have a column of times to be series")
    names, values = table.names, [column.name for column in table.numbers if column is not table.names]
    used = (time.name, *values, names.name if names else None)
    if not values:
        raise DataError(
            f"--data: {table.path} must have a column of numbers that vary beside its times {time.name!r}; the others: "
            f"{left_out(table, used) or 'none'}" + "".join(f". {each}" for each in nearly_numbers(table, used))
        )
    source = _source(table, time, values)
    found = source.listing(Path())
    gridded = on_grid(found, None, None)
    spans = _spans(gridded)
    frequency = gridded.frequency
    calendar = _calendar(gridded)
    deviation = float(np.mean(np.nanstd(found.values, axis=0)))
    golden = float(f"{max(0.01 * deviation, 1e-6):.1g}")
    train, test = spans.train(), spans.test()
    batch = min(64, 2 ** int(math.log2(max(2, train))))
    csv_keys = [] if table.is_parquet else [
        Setting("source.delimiter", table.delimiter),
        Setting("source.decimal", table.decimal, "numbers have a decimal comma" if table.decimal == "," else ""),
        Setting("source.time_format", time.written.pattern, _time_words(table, time)),
        Setting("source.missing", list(table.missing), "words for a missing number" if table.missing else ""),
    ]  # fmt: skip
    choices = [
        Setting("source.path", path),
        Setting("source.time", time.name, "the first column of times"),
        Setting("source.values", values, "the columns of numbers that vary"),
        Setting("source.series", names.name if names else None, "tells rows of one time apart" if names else ""),
        *csv_keys,
        Setting("source.calendar", calendar, "what the calendar may explain at this step" if calendar else ""),
        *_scaling(gridded),
        Setting("source.window.history", spans.history,
               f"{spans.history / spans.season:g} seasons of {spans.season} steps"),
        Setting("source.window.horizon", spans.horizon,
               "one season ahead" if spans.horizon == spans.season else "as far as the data allow"),
        Setting("source.window.stride", spans.stride, f"about {train} windows to learn from, {test} to judge with"),
        Setting("source.window.test_stride", spans.test_stride),
        Setting("split.test_fraction", spans.test_fraction),
        *_contract(gridded, found),
        Setting("reference.season", spans.season),
        Setting("model.lags", spans.lags(), "the last values, and those a season ago"),
        Setting("train.batch_size", batch),
        Setting("export.golden_tolerance", golden),
        Setting("gate.max_golden_difference", golden, "a hundredth of the values' standard deviation"),
    ]  # fmt: skip
    return Chosen(
        about=f"series of {len(values)} columns, a value every {frequency.text}, forecast {spans.horizon} steps ahead",
        template="forecast",
        source=_parquet(source_text(__file__, "series")) if table.is_parquet else source_text(__file__, "series"),
        found=(
            *_found(table, found, gridded),
            *([f"columns left out: {others}"] if (others := left_out(table, used)) else []),
        ),
        warnings=(
            *_of_times(table, time),
            *nearly_numbers(table, used),
            *wild_values(table, values, names.name if names else None),
            *_warnings(train, test, found),
        ),
        choices=tuple(choices),
        train_count=train,
        test_count=test,
        prepare_seconds=1.0,
    )


def _time_words(table: TableProfile, time: Column) -> str:
    """What one of the cells is read as, and why so."""
    shown = example(table.cells(time.name), time.written.pattern)
    if time.written.pattern is None or shown is None:
        return ""
    return f"{shown[0]!r} is {shown[1]:%Y-%m-%d %H:%M}" + (f", {time.written.why}" if time.written.why else "")


def _of_times(table: TableProfile, time: Column) -> Iterator[str]:
    if time.written.other is not None:
        shown = example(table.cells(time.name), time.written.pattern)
        yield (
            f"the times may be written as {time.written.pattern} or as {time.written.other}, and nothing decides: "
            + (f"{shown[0]!r} is read as {shown[1]:%Y-%m-%d %H:%M}. " if shown else "")
            + "source.time_format changes it"
        )


def _parquet(text: str) -> str:
    """Section source of Parquet files, which has no keys of how text is read."""
    lines = (line for line in text.splitlines(keepends=True) if line.split(":")[0].strip() not in _OF_TEXT)
    return "".join(lines).replace("kind: csv    ", "kind: parquet", 1)


def _source(table: TableProfile, time: Column, values: Sequence[str]) -> CsvFiles | ParquetFiles:
    window = ForecastWindow("forecast", 2, 1, 1, 1, 1.0)
    shared: dict[str, Any] = {
        "path": str(table.path.resolve()), "frequency": None, "time_zone": None, "calendar": (),
        "scaling": "together", "window": window,
        "time": time.name, "values": tuple(values), "series": table.names.name if table.names else None,
        "variable": None, "static": (),
        "max_rows": 1_000_000, "max_megabytes": 500.0,
    }  # fmt: skip
    if table.is_parquet:
        return ParquetFiles(kind="parquet", **shared)
    return CsvFiles(
        kind="csv",
        delimiter=table.delimiter,
        decimal=table.decimal,
        time_format=time.written.pattern,
        missing=table.missing,
        **shared,
    )


def _season(frequency: Frequency) -> int:
    """Steps of a year of months, a week of days, a year of weeks, a day of anything shorter; 12 where none fits."""
    if frequency.months:
        return max(1, 12 // frequency.count)
    if frequency.count % (7 * DAY) == 0:
        return 52 * 7 * DAY // frequency.count
    if frequency.count % DAY == 0:
        return 7 if frequency.count == DAY else 12
    return DAY // frequency.count if DAY % frequency.count == 0 and frequency.count >= 300 else 12


def _spans(gridded: Gridded) -> _Spans:
    """A season ahead, told as many seasons as leave enough windows; shorter where the series are."""
    lengths = [len(each.times) for each in gridded.series]
    season = _season(gridded.frequency)
    horizons = (season, max(1, season // 2), max(1, season // 4), 1)
    options = [(horizon, max(horizon, told * season)) for horizon in horizons for told in _SEASONS_TOLD]
    tried = [
        _Spans(lengths, season, history, horizon, 1, fraction)
        for horizon, history in options
        for fraction in (0.2, 0.3)
    ]
    enough = (each for each in tried if each.train() >= _WINDOWS_ENOUGH and each.test() >= 16)
    best = next(enough, None) or max(tried, key=lambda each: (min(each.test(), 16), each.train()))
    stride = max(1, best.train() // _WINDOWS_MOST)
    return _Spans(lengths, season, best.history, best.horizon, stride, best.test_fraction)


def _calendar(gridded: Gridded) -> list[str]:
    frequency, times = gridded.frequency, np.concatenate([each.times for each in gridded.series])
    days = float((times.max() - times.min()) / np.timedelta64(1, "D"))
    daily = not frequency.in_days
    weekly = daily or (not frequency.months and frequency.count == DAY)
    features = [("hour_of_day", daily), ("day_of_week", weekly and days > 21), ("day_of_year", days > 400)]
    return [name for name, fits in features if fits]


def _scaling(gridded: Gridded) -> Iterator[Setting]:
    means = np.array(
        [
            [np.nanmean(column) if np.isfinite(column).any() else np.nan for column in each.values]
            for each in gridded.series
        ]
    )
    spread = np.array(
        [
            [np.nanstd(column) if np.isfinite(column).any() else np.nan for column in each.values]
            for each in gridded.series
        ]
    )
    if len(means) > 1 and np.nanmax(np.nanstd(means, axis=0) / np.maximum(np.nanmean(spread, axis=0), 1e-9)) > 1:
        yield Setting("source.scaling", "each_series", "the levels of the series differ by more than they vary")


def _contract(gridded: Gridded, found: SeriesListing) -> Iterator[Setting]:
    """Limits that these data would break although they can be used."""
    series = gridded.series
    rejected = (len(found.rejected) + len(gridded.rejected)) / max(1, len(found.times) + len(found.rejected))
    seen = {
        "max_missing_share": (max(each.missing for each in series), 0.3, "so much is missing in one of the series"),
        "max_irregular_share": (
            max(each.irregular for each in series),
            0.02,
            "so many rows are off the grid or twice there",
        ),
        "max_backward_share": (
            max(each.backward for each in series),
            0.0,
            "the rows are not in the order of time; they are sorted",
        ),
        "max_quarantined_share": (rejected, 0.1, "so many rows cannot be used"),
    }
    for key, (value, limit, why) in seen.items():
        if value > limit:
            yield Setting(f"contract.{key}", min(0.99, math.ceil(120 * value) / 100), why)
    if (gap := max(each.longest_gap for each in series)) > 24:
        yield Setting("contract.max_gap_steps", math.ceil(1.2 * gap), f"the longest gap has {gap} steps")
    lengths = [len(each.times) for each in series]
    if max(lengths) > 20 * min(lengths):
        yield Setting(
            "contract.max_class_imbalance",
            float(math.ceil(1.5 * max(lengths) / min(lengths))),
            "so uneven are the series",
        )


def _found(table: TableProfile, found: SeriesListing, gridded: Gridded) -> Iterator[str]:
    delimiter = "" if table.is_parquet else f", cells separated by {table.delimiter!r}"
    yield f"a table with a column of times, {table.time.name if table.time else ''!r}{delimiter}: series"
    lengths = [len(each.times) for each in gridded.series]
    steps = f"{lengths[0]:,} steps" if len(lengths) == 1 else f"{min(lengths):,} to {max(lengths):,} steps each"
    first, last = min(each.times[0] for each in gridded.series), max(each.times[-1] for each in gridded.series)
    columns = ", ".join(found.columns[:6]) + (" ..." if len(found.columns) > 6 else "")
    yield f"{len(lengths)} series of {len(found.columns)} columns ({columns}), {steps}"
    yield f"a step is {gridded.frequency.text}; from {first} to {last}"
    missing = float(np.mean([each.missing for each in gridded.series]))
    if missing:
        yield f"{missing:.1%} of the values are missing"
    if found.rejected:
        first_of_them = found.rejected[0]
        yield f"{len(found.rejected)} rows cannot be used; the first: {first_of_them.name}, {first_of_them.reason}"


def _warnings(train: int, test: int, found: SeriesListing) -> Iterator[str]:
    if train < _TRAIN_LEAST or test < 16:
        yield (
            f"{train} windows to learn from and {test} to judge with are too few: the contract wants {_TRAIN_LEAST} "
            "and 16, so `ddpm run` will stop at stage validate (exit code 4). Give longer series, or more of them"
        )
    elif test < _GATE_NEEDS:
        yield (
            f"{test} windows remain to judge with, and the gate wants {_GATE_NEEDS} that are apart in time "
            "(gate.min_samples): it will say `not enough evidence` and promote nothing. The model can forecast "
            "all the same"
        )
    if len(found.columns) > 30:
        yield f"{len(found.columns)} columns are forecast together; name those that matter in source.values"
