"""Series of one's own: a CSV file, or a folder of them, with a header that names the columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import cells_of
from pipelines.kinds.series.sources.found import SeriesListing
from pipelines.kinds.series.sources.tables import Cell, Line, TableSource


@dataclass(frozen=True)
class CsvFiles(TableSource):
    """A row for each time, of one series or of many with their names in a column. A line is a row."""

    kind: Literal["csv"]
    delimiter: str
    time_format: str | None
    missing: tuple[str, ...]

    __checks__: ClassVar[Checks] = {
        **TableSource.__checks__,
        "delimiter": (lambda v: len(v) == 1 and v not in '"\r\n', "one character, and no quotation mark"),
        "time_format": (lambda v: v is None or "%" in v, "null (ISO 8601) or a pattern such as %d.%m.%Y %H:%M"),
    }

    def pattern(self) -> str | None:
        return self.time_format

    def listing(self, root: Path) -> SeriesListing:
        return self.found(root, (".csv",), self._lines)

    def _lines(self, file: Path) -> tuple[list[str], Iterator[Line]]:
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        lines = ((number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip())
        try:
            header = cells_of(next(lines, (1, b""))[1], self.delimiter)
        except DataError as error:
            raise DataError(
                f"source.path: {file} must begin with the names of its columns, in UTF-8: {error}"
            ) from error
        return header, ((number, line, self._row(line, len(header))) for number, line in lines)

    def _row(self, line: bytes, columns: int) -> list[Cell] | str:
        try:
            cells = cells_of(line, self.delimiter)
        except DataError as error:
            return str(error)
        if len(cells) != columns:
            return f"{len(cells)} cells where the header has {columns}"
        return [None if cell in self.missing or not cell else cell for cell in cells]
