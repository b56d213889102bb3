"""From the rows of tables to readings: which columns hold values, and which rows cannot be used."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Checks, at_least_1, positive
from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import Mark, no_number, number_of, path_below
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.series.rows.times import parse_time
from pipelines.kinds.series.sources.found import SeriesListing, SeriesSource, names, text
from pipelines.kinds.series.sources.reading import Reading, widened

Cell = Any
"""Text of a CSV, a Python value of a Parquet file, None where nothing is there."""
Line = tuple[int, bytes, list[Cell] | str]
"""Number, bytes for the quarantine, and the cells, or why there are none."""
_LOOKED_AT = 1_000


@dataclass(frozen=True)
class TableSource(SeriesSource):
    """A file or a folder of files. A row that cannot be used is quarantined; a file that cannot be used is an error,
    because all its rows would be lost."""

    time: str
    values: tuple[str, ...] | None
    series: str | None
    variable: str | None
    static: tuple[str, ...]
    max_rows: int
    max_megabytes: float

    __checks__: ClassVar[Checks] = {
        **SeriesSource.__checks__,
        "time": text,
        "values": names,
        "static": (lambda v: len(set(v)) == len(v), "different names"),
        "max_rows": at_least_1,
        "max_megabytes": positive,
    }

    def pattern(self) -> str | None:
        """How a time in text is written; None is ISO 8601."""
        return None

    def mark(self) -> Mark:
        """What stands before the decimals of a number in text."""
        return "."

    def faults(self) -> list[str]:
        named = [name for name in (self.series, self.variable) if name is not None]
        used, faults = [self.time, *(self.values or ()), *named, *self.static], []
        if len(set(used)) < len(used):
            faults.append(f"time, values, series, variable, static: must be different columns, got {', '.join(used)}")
        if self.variable is not None and len(self.values or ()) != 1:
            faults.append(
                "values: must name the one column of numbers where `variable` says which value a row holds, got "
                f"{', '.join(self.values or ()) or None}"
            )
        return faults

    def facts(self) -> SourceFacts:
        """Of a file nothing is known but its name, which names the model in the registry."""
        return SourceFacts(model_name=name_of(Path(self.path).stem, "series"))

    def found(
        self, root: Path, endings: Sequence[str], lines_of: Callable[[Path], tuple[list[str], Iterator[Line]]]
    ) -> SeriesListing:
        place = root / self.path
        rejected: list[Rejected] = []
        readings: list[Reading] = []
        columns: tuple[str, ...] = self.values or ()
        for file in files_of(place, endings):
            if (size := file.stat().st_size) > self.max_megabytes * 1e6:
                raise DataError(
                    f"source.path: {file} may have {self.max_megabytes:g} MB (max_megabytes), but has {size:,} bytes"
                )
            name = file.name if file == place else path_below(file, place)
            header, lines = lines_of(file)
            rows = list(lines)
            columns = columns or self._number_columns(file, header, rows)
            at = self._places(file, header, columns)
            for number, data, cells in rows:
                try:
                    if isinstance(cells, str):
                        raise DataError(cells)
                    readings.append(self._reading(f"{name}:{number}", cells, at))
                except DataError as error:
                    rejected.append(Rejected.of(f"{name}:{number}", str(error), data))
            if len(readings) + len(rejected) > self.max_rows:
                raise DataError(
                    f"source.path: {place} must have at most source.max_rows = {self.max_rows} rows; raise it, or give "
                    "fewer"
                )
        if rejected and not readings:
            raise DataError(
                f"source: {place} must have a row that can be used, but none of {len(rejected)} can; the first, "
                f"{rejected[0].name}: {rejected[0].reason}"
            )
        if self.variable is not None:
            columns, readings, again = widened(readings)
            rejected += again
        return SeriesListing(
            columns,
            [each.place for each in readings],
            [each.series for each in readings],
            [each.time for each in readings],
            _table([each.values for each in readings], len(columns)),
            rejected,
            self.static,
            _table([each.static for each in readings], len(self.static)),
        )

    def _number_columns(self, file: Path, header: list[str], rows: Sequence[Line]) -> tuple[str, ...]:
        """All other columns of which most cells are numbers, as far as was looked."""
        cells = [row[2] for row in rows[:_LOOKED_AT] if not isinstance(row[2], str)]
        found = []
        for place, name in enumerate(header):
            given = [row[place] for row in cells if row[place] is not None]
            if (
                name not in (self.time, self.series, *self.static)
                and given
                and 2 * sum(_is_number(cell, self.mark()) for cell in given) > len(given)
            ):
                found.append(name)
        if not found:
            raise DataError(
                f"source.values: {file} must have a column of numbers beside {self.time!r}; its columns are "
                f"{', '.join(header)[:200] or 'none'}"
            )
        return tuple(found)

    def check_header(self, file: Path, header: list[str]) -> None:
        """DataError where a column that section source names is not among them."""
        self._places(file, header, self.values or ())

    def _places(self, file: Path, header: list[str], columns: Sequence[str]) -> "_Places":
        def place_of(key: str, name: str) -> int:
            if header.count(name) != 1:
                raise DataError(
                    f"source.{key}: {file} must have one column {name!r}, got {header.count(name)} of the name; its "
                    f"columns are {', '.join(header)[:200] or 'none'}"
                )
            return header.index(name)

        return _Places(
            place_of("time", self.time),
            None if self.series is None else place_of("series", self.series),
            None if self.variable is None else place_of("variable", self.variable),
            {name: place_of("values", name) for name in columns},
            {name: place_of("static", name) for name in self.static},
        )

    def _reading(self, place: str, cells: list[Cell], at: "_Places") -> Reading:
        time = cells[at.time]
        if time is None:
            raise DataError(f"nothing in column {self.time!r}")
        if isinstance(time, str):
            time = parse_time(time, self.pattern())
        elif not isinstance(time, datetime):
            if not isinstance(time, date):
                raise DataError(f"{str(time)[:60]!r} in column {self.time!r} is no time")
            time = datetime(time.year, time.month, time.day)
        if time.microsecond:
            raise DataError(f"{time} is no whole second, which is the finest step there is")
        return Reading(
            place,
            _name_in(cells, at.series, self.series),
            time,
            _name_in(cells, at.variable, self.variable),
            [_number(cells[column], name, self.mark()) for name, column in at.values.items()],
            [_number(cells[column], name, self.mark()) for name, column in at.static.items()],
        )


@dataclass(frozen=True)
class _Places:
    """Where in a row the columns are."""

    time: int
    series: int | None
    variable: int | None
    values: Mapping[str, int]
    static: Mapping[str, int]


def _name_in(cells: list[Cell], place: int | None, column: str | None) -> str:
    if place is None:
        return ""
    if cells[place] is None:
        raise DataError(f"nothing in column {column!r}")
    return str(cells[place])


def _table(rows: list[list[float]], columns: int) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns)


def files_of(place: Path, endings: Sequence[str]) -> list[Path]:
    """The file, or all in the folder with such an ending that are not hidden, in an order that is always the same."""
    if place.is_file():
        return [place]
    files = [file for file in place.rglob("*") if file.suffix.lower() in endings and file.is_file()]
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(place).parts)]
    if not files:
        came = "none in it" if place.is_dir() else "nothing"
        raise DataError(f"source.path: {place} must be a {endings[0]} file or a folder of them, but there is {came}")
    return sorted(files, key=lambda file: file.relative_to(place).as_posix().encode("utf-8", "surrogateescape"))


def _is_number(cell: Cell, decimal: Mark) -> bool:
    try:
        _number(cell, "", decimal)
    except DataError:
        return False
    return True


def _number(cell: Cell, column: str, decimal: Mark) -> float:
    """A cell as a float64 that float32 can hold; nothing, and what is not a number by IEEE 754, as NaN."""
    if cell is None:
        return np.nan
    if isinstance(cell, bool | date):
        raise DataError(no_number(str(cell), column, decimal))
    try:
        value = number_of(cell, decimal) if isinstance(cell, str) else float(cell)
    except (ValueError, TypeError) as error:
        raise DataError(no_number(str(cell), column, decimal)) from error
    if abs(value) > float(np.finfo(np.float32).max):
        raise DataError(f"{str(cell)[:60]!r} in column {column!r} must be finite as float32")
    return value
