"""The table of `ddpm forecast` and `ddpm impute`, from a CSV or Parquet file to what a request holds."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.series.serving.table import TIME, csv_number, csv_rows, json_number
from pipelines.kinds.series.sources.parquet_files import parquet_lines
from pipelines.serving.base.request import InvalidRequest


class Read(NamedTuple):
    """Values by column, with `time` where the file has it; the series that they are of, and the column that says so;
    and where each row stands."""

    table: dict[str, list[Any]]
    series: str | None
    column: str | None
    places: list[str]

    def named(self, error: InvalidRequest, field: str, file: Path) -> ParamsError:
        """The error of a request with this table as `field`, with places of the file in place of the table's."""
        lines = []
        for fault in error.faults:
            part = re.fullmatch(rf"{field}\.(.+)\.(\d+)", fault["field"])
            place = f"{file}: {self.places[int(part[2])]}, column {part[1]}" if part else fault["field"]
            lines.append(f"{place}: {fault['message']}")
        return ParamsError("; ".join(lines))


class _Rows(NamedTuple):
    header: Sequence[str]
    cells: Sequence[Sequence[Any]]
    places: Sequence[str]
    number: Callable[[Any], float]


def read_file(file: Path, columns: Sequence[str], time: str | None, series: str | None, label: str | None) -> Read:
    """The rows of one series of the file: those of which the column `series` says `label`, or all without it.

    A column `time` need not be there where none was named. Other columns are passed over.
    """
    if not file.is_file():
        raise ParamsError(f"{file}: must be a CSV or Parquet file, got none")
    rows = _parquet(file) if file.suffix.lower() in (".parquet", ".pq") else _csv(file)
    if lost := [name for name in (time, series, *columns) if name is not None and name not in rows.header]:
        raise ParamsError(f"{file}: must have the column {lost[0]!r}, got {', '.join(rows.header)[:200]}")
    chosen, name = _of_series(file, rows, series, label)
    table = {column: [_value(file, rows, row, column) for row in chosen] for column in columns}
    if (time or TIME) in rows.header:
        place = rows.header.index(time or TIME)
        table[TIME] = [_text(rows.cells[row][place]) for row in chosen]
    return Read(table, name, series, [rows.places[row] for row in chosen])


def _of_series(file: Path, rows: _Rows, series: str | None, label: str | None) -> tuple[Sequence[int], str | None]:
    if series is None:
        return range(len(rows.cells)), label
    names = [str(cells[rows.header.index(series)]) for cells in rows.cells]
    label = chosen_label(file, names, label)
    return [row for row, name in enumerate(names) if name == label], label


def chosen_label(file: Path, names: Sequence[str], label: str | None) -> str:
    """The series that is asked for, or the only one that there is."""
    known = sorted(set(names))
    if label is None and len(known) == 1:
        return known[0]
    if label is None or label not in known:
        raise ParamsError(f"--label: must be a series of {file}, as {', '.join(known[:10])}, got {label}")
    return label


def _value(file: Path, rows: _Rows, row: int, column: str) -> float | None:
    try:
        value = rows.number(rows.cells[row][rows.header.index(column)])
    except ValueError as error:
        raise ParamsError(f"{file}: {rows.places[row]}, column {column}: {error}") from None
    return None if math.isnan(value) else value


def _text(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, date) else cell


def _csv(file: Path) -> _Rows:
    try:
        header, cells, lines = csv_rows(file.read_bytes().decode("utf-8"))
    except ValueError as error:  # what is not UTF-8 too
        raise ParamsError(f"{file}: must be CSV in UTF-8: {error}") from None
    return _Rows(
        header, [[cell.strip() for cell in row] for row in cells], [f"line {line}" for line in lines], csv_number
    )


def _parquet(file: Path) -> _Rows:
    try:
        header, lines = parquet_lines(file)
    except DataError as error:
        raise ParamsError(str(error).removeprefix("source.path: ")) from error
    except ModuleNotFoundError as error:
        raise ParamsError(f"{file}: must be CSV where pyarrow is not installed, as here") from error
    found = list(lines)
    return _Rows(header, [row[2] for row in found], [f"row {row[0]}" for row in found], _plain)


def _plain(cell: Any) -> float:
    """Parquet may hold NaN for what is missing."""
    return math.nan if isinstance(cell, float) and math.isnan(cell) else json_number(cell)
