"""A file of `ddpm forecast` and `ddpm impute`, read as the project reads its own data: by section source."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.grid import on_grid
from pipelines.kinds.series.rows.times import parse_time, zone_of
from pipelines.kinds.series.serving.files import Read, chosen_label
from pipelines.kinds.series.serving.table import TIME
from pipelines.kinds.series.serving.times import MOST_STEPS
from pipelines.kinds.series.sources.csv_files import CsvFiles
from pipelines.kinds.series.sources.found import SeriesListing
from pipelines.kinds.series.sources.parquet_files import ParquetFiles

log = logging.getLogger(__name__)

_PARQUET = (".parquet", ".pq")
_DELIMITERS = ",;\t|"
_MISSING = ("nan", "NaN", "NA", "na", "null", "NULL")  # of every table that is asked about
_LOOKED_AT = 50  # rows
Tables = CsvFiles | ParquetFiles


def source_for(source: Any, file: Path, columns: Sequence[str], time: str | None, series: str | None) -> Tables | None:
    """The source with this file in place of its own; None where the file is another kind of table, or has not the
    source's columns. `time` and `series` name other columns than the source's."""
    if not isinstance(source, CsvFiles | ParquetFiles) or not file.is_file():
        return None
    if isinstance(source, ParquetFiles) != (file.suffix.lower() in _PARQUET):
        return None
    time, values = time or source.time, source.values if source.variable is not None else tuple(columns)
    for delimiter in dict.fromkeys((source.delimiter, *_DELIMITERS)) if isinstance(source, CsvFiles) else ("",):
        tried: Tables = source
        if isinstance(source, CsvFiles):
            tried = replace(source, delimiter=delimiter, missing=(*source.missing, *_MISSING))
        try:
            header = tried.header(file)
        except DataError:
            continue
        named = series or (source.series if source.series in header else None)
        wanted = [time, *(values or ()), *(name for name in (named, source.variable) if name is not None)]
        if all(name in header for name in wanted):
            own = replace(tried, path=str(file.resolve()), time=time, values=values, series=named, static=())
            return _as_written(own, file)
    return None


def _as_written(source: Tables, file: Path) -> Tables:
    """With times of ISO 8601 where the first ones are written so, whatever the project's are."""
    if not isinstance(source, CsvFiles) or source.time_format is None:
        return source
    times = source.cells(file, source.time, _LOOKED_AT)
    if any(_reads(time, source.time_format) for time in times) or not any(_reads(time, None) for time in times):
        return source
    return replace(source, time_format=None)


def _reads(time: str, pattern: str | None) -> bool:
    try:
        parse_time(time, pattern)
    except DataError:
        return False
    return True


def read_by_source(source: Tables, about: Mapping[str, Any], label: str | None, *, last: bool) -> Read:
    """The rows of one series on the grid of the bundle, in the order of time. What stage prepare would quarantine is
    left out, with a warning. `last`: no more rows than a request may have, the latest."""
    file = Path(source.path)
    try:
        found = source.listing(Path("/"))
        if source.series is not None:
            label = chosen_label(file, found.series, label)
            found = _of_rows(found, [row for row, name in enumerate(found.series) if name == label])
        grid = on_grid(found, about["frequency"], about.get("time_zone"))
    except DataError as error:
        raise ParamsError(f"{file}, read by section source of params.yaml: {error}") from error
    rejected = [*found.rejected, *grid.rejected]
    if rejected:
        log.warning("rows left out, as in stage prepare: %d; the first: %s", len(rejected), _said(rejected[0]))
    unplaced = {each.name for each in grid.rejected}
    rows = [row for row, place in enumerate(found.places) if place not in unplaced]
    step = Frequency.of(about["frequency"])
    zone = zone_of(about["time_zone"]) if about.get("time_zone") else None
    moments, _ = step.moments([found.times[row] for row in rows], zone)
    steps = step.steps(moments)[0]
    order = [int(each) for each in np.argsort(steps, kind="stable")]
    if last and len(order):
        order = [each for each in order if steps[each] > steps.max() - MOST_STEPS]
    kept = [rows[each] for each in order]
    columns = {name: place for place, name in enumerate(found.columns)}
    if lost := [name for name in about["columns"] if name not in columns]:
        raise ParamsError(f"{file}: must have the column {lost[0]!r}, got {', '.join(columns)[:200]}")
    table: dict[str, list[Any]] = {
        name: [None if np.isnan(value) else float(value) for value in found.values[kept, columns[name]]]
        for name in about["columns"]
    }
    table[TIME] = [found.times[row].isoformat() for row in kept]
    return Read(table, label, source.series, [f"line {found.places[row].rpartition(':')[2]}" for row in kept])


def _said(rejected: Any) -> str:
    return f"{rejected.name}, {rejected.reason}"


def _of_rows(found: SeriesListing, rows: list[int]) -> SeriesListing:
    return replace(
        found,
        places=[found.places[row] for row in rows],
        series=[found.series[row] for row in rows],
        times=[found.times[row] for row in rows],
        values=found.values[rows],
        static=found.static[rows],
    )
