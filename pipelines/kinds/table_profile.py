"""Looks at a CSV or Parquet file, or a folder of them: delimiter, columns, times, series, how they are spaced."""

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import Mark, cells_of, is_number, may_be_grouped
from pipelines.kinds.time_formats import Written, of_numbers, written

CSV, PARQUET = (".csv",), (".parquet", ".pq")
WORDS = "tables (.csv, .parquet)"
_LOOKED_AT = 20_000  # rows
_DELIMITERS = ",;\t|"
_MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # in any case of letters
_MOST = 0.95  # of the cells of a column must be numbers, or times
_CLASSED = 0.98  # of the rows must have a class; the others go to the quarantine


@dataclass(frozen=True)
class Column:
    """`numbers` and `times` are shares of the cells that hold something."""

    name: str
    numbers: float
    times: float
    written: Written  # how the times are, where there are any
    distinct: int
    filled: float


@dataclass(frozen=True)
class TableProfile:
    """The first rows of a file, or of the first file of a folder."""

    path: Path
    endings: tuple[str, ...]
    delimiter: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]  # None where nothing is
    missing: tuple[str, ...]  # words for it that occur
    decimal: Mark  # before the decimals of its numbers
    lines: Sequence[int]  # of each row in its file; of Parquet its number

    @property
    def is_parquet(self) -> bool:
        return self.endings == PARQUET

    def cells(self, name: str) -> list[Any]:
        place = [column.name for column in self.columns].index(name)
        return [row[place] for row in self.rows]

    @property
    def time(self) -> Column | None:
        """The column of times: the first that holds them, and no plain numbers."""
        return next((each for each in self.columns if each.times >= _MOST and each.distinct > 2), None)

    @property
    def numbers(self) -> tuple[Column, ...]:
        """Columns of numbers that vary, without the row numbers that some programs write first."""
        return tuple(
            each for each in self.columns
            if each.numbers >= _MOST and each is not self.time and each.distinct > 1 and not self.counts(each)
        )  # fmt: skip

    def counts(self, column: Column) -> bool:
        """Whether it holds the numbers of the rows."""
        if column.name.lower() not in ("", "index", "id", "no", "unnamed: 0"):
            return False
        cells = [float(cell) for cell in self.cells(column.name) if is_number_cell(cell, ".")]
        return bool(cells) and all(b - a == 1 for a, b in itertools.pairwise(cells))

    @property
    def names(self) -> Column | None:
        """The column with a series' name: text or a whole number by which equal times are told apart."""
        if self.time is None:
            return None
        times = self.cells(self.time.name)
        if len(set(times)) == len(times):
            return None
        for column in self.columns:
            if column is not self.time and 1 < column.distinct <= len(times) / 4:
                cells = self.cells(column.name)
                if None not in cells and len(set(zip(cells, times, strict=True))) >= 0.99 * len(times):
                    return column
        return None

    @property
    def classes(self) -> Column | None:
        """The column with a point's class: few different texts, or few whole numbers in a column named so."""
        for column in self.columns:
            named = column.name.lower() in ("class", "label", "target", "species", "group", "category", "y")
            if column.filled < _CLASSED or column.distinct < 2:
                continue
            if column.distinct <= (50 if column.numbers < 0.5 else 20 if named else 0):
                return column
        return None


def is_of_tables(path: Path) -> tuple[str, ...]:
    """The endings of the files that count; () where there is none."""
    for endings in (CSV, PARQUET):
        if path.is_file() and path.suffix.lower() in endings:
            return endings
        if path.is_dir() and any(file.suffix.lower() in endings for file in path.rglob("*")):
            return endings
    return ()


def profile(path: Path) -> TableProfile:
    endings = is_of_tables(path)
    missing: tuple[str, ...]
    numbers: Sequence[int]
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix.lower() in endings)
    first = files[0]
    if endings == PARQUET:
        from pipelines.kinds.series.sources.parquet_files import parquet_lines

        header, lines = parquet_lines(first)
        rows = [[_plain(cell) for cell in cells] for _, _, cells in itertools.islice(lines, _LOOKED_AT)]
        delimiter, missing, numbers = ",", (), range(1, len(rows) + 1)
    else:
        delimiter, header, rows, missing, numbers = _csv(first)
    if not rows:
        raise DataError(
            f"--data: {first} must begin with a line of as many names as the rows have cells, got {len(header)} in its "
            f"first line ({', '.join(header)[:80]}) and no row of so many; take out lines of comments"
        )
    cells = [[row[place] for row in rows] for place in range(len(header))]
    decimal: Mark = "," if any(_has_decimal_commas(column) for column in cells) else "."
    columns = tuple(_column(name, column, decimal) for name, column in zip(header, cells, strict=True))
    return TableProfile(path, endings, delimiter, columns, rows, missing, decimal, numbers)


def _has_decimal_commas(cells: Sequence[Any]) -> bool:
    """Whether a column holds numbers by a comma alone, and not all of them may be thousands."""
    given = [cell for cell in cells if cell is not None]
    commas = [cell for cell in given if isinstance(cell, str) and not is_number(cell) and is_number(cell, ",")]
    numbers = sum(is_number_cell(cell, ",") for cell in given)
    return any(not may_be_grouped(cell) for cell in commas) and numbers >= _MOST * len(given)


def _plain(cell: Any) -> Any:
    """Lists and structs as text: they are neither numbers nor times, and cannot be counted."""
    return repr(cell) if isinstance(cell, list | dict) else cell


def _csv(file: Path) -> tuple[str, list[str], list[list[Any]], tuple[str, ...], list[int]]:
    with file.open("rb") as stream:
        given = list(enumerate(itertools.islice(stream, _LOOKED_AT), 1))
    numbered = [(number, line.rstrip(b"\r\n")) for number, line in given if line.strip()]
    lines = [line for _, line in numbered]
    if not lines:
        raise DataError(f"--data: {file} must hold a header and rows, but it is empty")
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    delimiter = max(_DELIMITERS, key=lambda each: _fits(lines[:200], each))
    try:
        header = cells_of(lines[0], delimiter)
    except DataError as error:
        raise DataError(
            f"--data: {file} must begin with the names of its columns in UTF-8, but its first line is {error}; save it "
            "as UTF-8 (of a spreadsheet: `CSV UTF-8`)"
        ) from error
    if all(is_number_cell(cell, ".") for cell in header):
        raise DataError(
            f"--data: {file} must begin with the names of its columns, but its first line holds numbers alone"
        )
    words: Counter[str] = Counter()
    rows: list[list[Any]] = []
    numbers: list[int] = []
    for number, line in numbered[1:]:
        try:
            cells = cells_of(line, delimiter)
        except (DataError, csv.Error):
            continue
        if len(cells) == len(header):
            words.update(cell for cell in cells if cell.lower() in _MISSING[1:])
            rows.append([None if cell.lower() in _MISSING else cell for cell in cells])
            numbers.append(number)
    return delimiter, header, rows, tuple(sorted(words)), numbers


def _fits(lines: Sequence[bytes], delimiter: str) -> tuple[float, int]:
    """The share of lines with as many cells as the first, of which there must be two or more; and how many."""
    counts = []
    for line in lines:
        try:
            counts.append(len(cells_of(line, delimiter)))
        except DataError:
            counts.append(0)
    return (sum(each == counts[0] for each in counts) / len(counts) if counts[0] > 1 else 0.0, counts[0])


def _column(name: str, cells: Sequence[Any], decimal: Mark) -> Column:
    given = [cell for cell in cells if cell is not None]
    if not given:
        return Column(name, 0.0, 0.0, Written(None, 0.0), 0, 0.0)
    numbers = sum(is_number_cell(cell, decimal) for cell in given) / len(given)
    form = written(given) if numbers < _MOST else of_numbers(name, given) or Written(None, 0.0)
    return Column(name, numbers, form.share, form, len(set(given)), len(given) / len(cells))


def is_number_cell(cell: Any, decimal: Mark) -> bool:
    if isinstance(cell, bool | date):
        return False
    if isinstance(cell, str):
        return is_number(cell, decimal)
    try:
        return float(cell) == float(cell)
    except (ValueError, TypeError):
        return False
