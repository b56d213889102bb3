"""Series of one's own: a CSV file, or a folder of them, with a header that names the columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import Mark, cells_of
from pipelines.kinds.series.rows.times import UNIX
from pipelines.kinds.series.sources.found import SeriesListing
from pipelines.kinds.series.sources.tables import Cell, Line, TableSource, files_of


@dataclass(frozen=True)
class CsvFiles(TableSource):
    """A row for each time, of one series or of many with their names in a column. A line is a row."""

    kind: Literal["csv"]
    delimiter: str
    decimal: Mark
    time_format: str | None
    missing: tuple[str, ...]

    __checks__: ClassVar[Checks] = {
        **TableSource.__checks__,
        "delimiter": (lambda v: len(v) == 1 and v not in '"\r\n', "one character, and no quotation mark"),
        "time_format": (
            lambda v: v is None or "%" in v or v in UNIX,
            "null (ISO 8601), a pattern such as %d.%m.%Y %H:%M, or unix_s or unix_ms (counted from 1970 in UTC)",
        ),
    }

    def pattern(self) -> str | None:
        return self.time_format

    def mark(self) -> Mark:
        return self.decimal

    def listing(self, root: Path) -> SeriesListing:
        return self.found(root, (".csv",), self._lines)

    def check_columns(self, root: Path) -> None:
        file = files_of(root / self.path, (".csv",))[0]
        self.check_header(file, self.header(file))

    def header(self, file: Path) -> list[str]:
        with file.open("rb") as lines:
            first = next((line for line in lines if line.strip()), b"")
        return self._names(file, first.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"))

    def cells(self, file: Path, column: str, rows: int) -> list[str]:
        """What the first rows hold in a column, where they hold something."""
        header, lines = self._lines(file)
        place, first = header.index(column), (cells for _, _, cells in islice(lines, rows))
        return [cells[place] for cells in first if not isinstance(cells, str) and cells[place] is not None]

    def _lines(self, file: Path) -> tuple[list[str], Iterator[Line]]:
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        lines = ((number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip())
        header = self._names(file, next(lines, (1, b""))[1])
        return header, ((number, line, self._row(line, len(header))) for number, line in lines)

    def _names(self, file: Path, line: bytes) -> list[str]:
        try:
            return cells_of(line, self.delimiter)
        except DataError as error:
            raise DataError(
                f"source.path: {file} must begin with the names of its columns, in UTF-8: {error}"
            ) from error

    def _row(self, line: bytes, columns: int) -> list[Cell] | str:
        try:
            cells = cells_of(line, self.delimiter)
        except DataError as error:
            return str(error)
        if len(cells) != columns:
            return f"{len(cells)} cells where the header has {columns}"
        return [None if cell in self.missing or not cell else cell for cell in cells]
