"""Series of one's own: a Parquet file, or a folder of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ddpm_core.errors import DataError
from pipelines.kinds.series.sources.found import SeriesListing
from pipelines.kinds.series.sources.tables import Cell, TableSource, files_of


@dataclass(frozen=True)
class ParquetFiles(TableSource):
    """A row for each time, of one series or of many with their names in a column."""

    kind: Literal["parquet"]

    def listing(self, root: Path) -> SeriesListing:
        return self.found(root, (".parquet", ".pq"), parquet_lines)

    def check_columns(self, root: Path) -> None:
        file = files_of(root / self.path, (".parquet", ".pq"))[0]
        self.check_header(file, self.header(file))

    def header(self, file: Path) -> list[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(file).names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"source.path: {file} must be a Parquet file, but {error}") from error


def parquet_lines(file: Path) -> tuple[list[str], Iterator[tuple[int, bytes, list[Cell]]]]:
    """The names of the columns and the rows, numbered from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
        columns: list[list[Any]] = [_plain(column).to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"source.path: {file} must be a Parquet file, but {error}") from error
    rows = ((number, b"", list(row)) for number, row in enumerate(zip(*columns, strict=True), 1))
    return list(table.column_names), rows


def _plain(column: Any) -> Any:
    """Times in nanoseconds, which Python's do not have, as microseconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    return column
