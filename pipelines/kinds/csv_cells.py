"""Shared by kinds of data that are tables: the cells of a line of CSV, and what a file is called."""

import csv
import re
from pathlib import Path
from typing import Literal

from ddpm_core.errors import DataError


def cells_of(line: bytes, delimiter: str) -> list[str]:
    """Without the spaces around each; DataError where the line is not UTF-8 or not CSV."""
    try:
        cells = next(csv.reader([line.decode("utf-8")], delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start + 1}") from error
    except csv.Error as error:
        raise DataError(f"not a row of CSV: {error}") from error
    return [cell.strip() for cell in cells]


Mark = Literal[".", ","]
"""Before the decimals of a number."""
_GROUPS = {
    mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(other)}\d{{3}})+({re.escape(mark)}\d+)?")
    for mark, other in ((".", ","), (",", "."))
}


def number_of(cell: str, decimal: Mark = ".") -> float:
    """A number whose decimals follow the mark; ValueError where it is none, or may be one of two.

    Thousands may be grouped by the other mark where decimals follow, as in 1,250.58; 1,250 alone is refused. Where the
    mark is a comma, a point is one too, unless three digits follow it.
    """
    grouped = _GROUPS[decimal].fullmatch(cell)
    if grouped is not None:
        if grouped[1] is None:
            raise ValueError(f"{cell!r} may be a thousand times as much")
        cell = cell.replace("," if decimal == "." else ".", "")
    if "_" in cell:  # Python's way to write 1_000, and nobody else's
        raise ValueError(f"{cell!r} has a mark of Python's own")
    return float(cell if decimal == "." else cell.replace(",", "."))


def is_number(cell: str, decimal: Mark = ".") -> bool:
    """NaN is none."""
    try:
        return (value := number_of(cell, decimal)) == value
    except ValueError:
        return False


def may_be_grouped(cell: str) -> bool:
    """Whether the marks of a number may lie between thousands."""
    return any(each.fullmatch(cell) is not None for each in _GROUPS.values())


def no_number(cell: str, column: str, decimal: Mark) -> str:
    """What to say of a cell that is no number, and of the key that would make it one."""
    other: Mark = "," if decimal == "." else "."
    text = f"{cell[:60]!r} in column {column!r} is not a number"
    if is_number(cell, other):
        text += f"; `source.decimal: {other!r}` reads it as {number_of(cell, other):g}"
    if _GROUPS[decimal].fullmatch(cell):
        text += "; if it is a thousand times as much, write it without the mark"
    return text


def path_below(file: Path, folder: Path) -> str:
    """The path of a file below a folder, as text that can be printed whatever its bytes are."""
    return file.relative_to(folder).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
