"""The table of a request, from JSON or from CSV text: values by column, and the times of its rows as given."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.base.request import Fault, InvalidRequest

TIME = "time"
MISSING = ("", "nan", "na", "null")
"""What an empty cell of a CSV may hold, in any case of letters."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Table:
    """`values` [columns, rows], NaN where missing; `place(row, column)` is the path of a cell in the request."""

    values: NDArray[np.float64]
    times: list[Any] | None
    place: Callable[[int, str], str]


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells as they came, by column."""

    columns: Mapping[str, Sequence[Any]]
    place: Callable[[int, str], str]
    number: Callable[[Any], float]


def read_table(given: Any, columns: Sequence[str], field: str) -> Table:
    """The values of these columns; InvalidRequest, by the field's path, where the table is not one of them.

    A text is CSV, or JSON where it begins as JSON. JSON is a list of rows (of values, or of values by column), or lists
    of values by column. Beside the columns there may be one called `time`.
    """
    if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise InvalidRequest.of(field, "must be JSON where it begins as JSON") from None
    cells = _csv(given, field) if isinstance(given, str) else _json(given, columns, field)
    known = [*columns, TIME]
    strange = [name for name in cells.columns if name not in known]
    faults = [_fault(f"{field}.{name}", f"is no column; the columns are {_listed(columns)}") for name in strange]
    faults += [_fault(f"{field}.{name}", "must be given") for name in columns if name not in cells.columns]
    if faults:
        raise InvalidRequest(faults)
    if not len(cells.columns[columns[0]]):
        raise InvalidRequest.of(field, "must have a row")
    return Table(_numbers(cells, columns), _list(cells.columns.get(TIME)), cells.place)


def _numbers(cells: _Cells, columns: Sequence[str]) -> NDArray[np.float64]:
    faults, found = [], []
    for name in columns:
        for row, cell in enumerate(cells.columns[name]):
            try:
                found.append(cells.number(cell))
            except ValueError as error:
                faults.append(_fault(cells.place(row, name), str(error)))
    if faults:
        raise InvalidRequest(faults)
    return np.array(found, dtype=np.float64).reshape(len(columns), -1)


def json_number(cell: Any) -> float:
    """A number that float32 can hold, NaN for null; ValueError for anything else."""
    if cell is None:
        return math.nan
    if type(cell) not in (int, float):  # True is an int
        raise ValueError("must be a number or null")
    return _finite(cell)


def csv_number(cell: str) -> float:
    """The same of the text of a cell."""
    text = cell.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = float(text.replace("_", "?"))  # 1_000 is Python's alone
    except ValueError:
        raise ValueError("must be a number or empty") from None
    return _finite(value)


def _finite(value: float) -> float:
    if not abs(value) <= _LARGEST:
        raise ValueError("must be finite as float32")
    return float(value)


def csv_rows(text: str) -> tuple[list[str], list[list[str]], list[int]]:
    """The header, the rows and the line of each; ValueError where the text is not CSV of one width."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        read = [(row, reader.line_num) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    if not read:
        raise ValueError("must begin with the names of the columns")
    header = [name.strip() for name in read[0][0]]
    for row, line in read[1:]:
        if len(row) != len(header):
            raise ValueError(f"line {line}: must have {len(header)} cells, as the first line has, got {len(row)}")
    if len(set(header)) < len(header):
        raise ValueError("must not name a column twice")
    return header, [row for row, _ in read[1:]], [line for _, line in read[1:]]


def _csv(text: str, field: str) -> _Cells:
    try:
        header, rows, lines = csv_rows(text)
    except ValueError as error:
        raise InvalidRequest.of(field, f"must be CSV: {error}") from None
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return _Cells(columns, lambda row, name: f"{field}.line {lines[row]}.{name}", csv_number)


def _json(given: Any, columns: Sequence[str], field: str) -> _Cells:
    if isinstance(given, Mapping):
        return _by_column(given, field)
    if not isinstance(given, list):
        raise InvalidRequest.of(field, "must be a list of rows, lists by column, or a text of CSV")
    if any(isinstance(row, Mapping) for row in given):
        return _by_name(given, field)
    rows = [[cell] if len(columns) == 1 and not isinstance(cell, list) else cell for cell in given]
    faults = [
        _fault(f"{field}.{number}", f"must be a list of {len(columns)} values: {_listed(columns)}")
        for number, row in enumerate(rows)
        if not isinstance(row, list) or len(row) != len(columns)
    ]
    if faults:
        raise InvalidRequest(faults)
    places = {name: place for place, name in enumerate(columns)}
    of_column = {name: [row[place] for row in rows] for name, place in places.items()}
    return _Cells(of_column, lambda row, name: f"{field}.{row}.{places.get(name, name)}", json_number)


def _by_name(rows: Sequence[Any], field: str) -> _Cells:
    """Rows that name their columns, all of them the same."""
    names = sorted(rows[0]) if isinstance(rows[0], Mapping) else []
    faults = [
        _fault(f"{field}.{number}", f"must have the columns of the first row, {_listed(names)}")
        for number, row in enumerate(rows)
        if not isinstance(row, Mapping) or sorted(row) != names
    ]
    if faults:
        raise InvalidRequest(faults)
    by_column = {name: [row[name] for row in rows] for name in names}
    return _Cells(by_column, lambda row, name: f"{field}.{row}.{name}", json_number)


def _by_column(given: Mapping[str, Any], field: str) -> _Cells:
    rows = max((len(column) for column in given.values() if isinstance(column, list)), default=0)
    faults = [
        _fault(f"{field}.{name}", f"must be a list of {rows} values, as the longest column")
        for name, column in given.items()
        if not isinstance(column, list) or len(column) != rows
    ]
    if faults:
        raise InvalidRequest(faults)
    return _Cells(given, lambda row, name: f"{field}.{name}.{row}", json_number)


def _list(column: Sequence[Any] | None) -> list[Any] | None:
    return None if column is None else list(column)


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 200 else text[:197] + "..."


def _fault(field: str, message: str) -> Fault:
    return {"field": field, "message": message}
