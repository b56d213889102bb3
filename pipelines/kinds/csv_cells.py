"""Shared by kinds of data that are tables: the cells of a line of CSV, and what a file is called."""

import csv
from pathlib import Path

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


def path_below(file: Path, folder: Path) -> str:
    """The path of a file below a folder, as text that can be printed whatever its bytes are."""
    return file.relative_to(folder).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
