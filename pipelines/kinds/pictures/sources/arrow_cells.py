"""Pictures in a column of a Parquet or Arrow file: bytes, or a struct of `bytes` and `path` as Hugging Face writes it.

A worker goes through the rows in order, a few at a time, so that memory does not grow with the file.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError
from pipelines.kinds.pictures.rows.rules import File, too_large
from pipelines.kinds.pictures.sources.contents import Stamp, label_text, named_file, stamp_of

PARQUET = (".parquet", ".pq")
_BATCH = 16  # rows with pictures in memory
_LABELS = 65_536  # rows with labels


@dataclass(frozen=True)
class ArrowCell(File):
    """The picture in a column and row (from 0) of a file; a path in it is followed within the source's folder."""

    column: str
    row: int
    stamp: Stamp

    def read(self, limit: int) -> bytes:
        try:
            changed = stamp_of(self.path) != self.stamp
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error
        if changed:
            raise DataError(f"{self.path.name} was changed while it was read; run prepare again")
        value = _rows(self.path, self.column, self.stamp).at(self.row, limit)
        if isinstance(value, bytes):
            return value
        return named_file(self.path.parent, self.within, value).read(limit)


@lru_cache(maxsize=1)
def _rows(path: Path, column: str, stamp: Stamp) -> "_Rows":
    return _Rows(path, column)


class _Rows:
    """The values of a column, best asked for in the order of the rows."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = None
        self._start = 0  # the row of the batch's first

    def at(self, row: int, limit: int) -> bytes | str:
        """The bytes in a row, or the path that stands there."""
        failures: tuple[type[BaseException], ...] = (StopIteration, *arrow_errors())
        try:
            if self._batch is None or row < self._start:
                self._start, self._batches = batches_of(self._path, [self._column], _BATCH, row)
                self._batch = next(self._batches)
            while row >= self._start + len(self._batch):
                self._start += len(self._batch)
                self._batch = next(self._batches)
            return _value(self._batch.column(0)[row - self._start], limit)
        except failures as error:
            self._batch = None
            raise DataError(f"damaged inside {self._path.name}: {error or 'it ends too soon'}") from error


def _value(cell: Any, limit: int) -> bytes | str:
    """From a scalar of Arrow, without copying what is too large."""
    import pyarrow as pa

    path = None
    if pa.types.is_struct(cell.type):
        names = [cell.type.field(place).name for place in range(cell.type.num_fields)]
        path = cell["path"].as_py() if cell.is_valid and "path" in names else None
        cell = cell["bytes"] if cell.is_valid and "bytes" in names else pa.scalar(None, pa.binary())
    if not cell.is_valid:
        if isinstance(path, str) and path:
            return path
        raise DataError("no picture in its row")
    if pa.types.is_string(cell.type) or pa.types.is_large_string(cell.type):
        return str(cell.as_py())
    size = cell.as_buffer().size
    if size > limit:
        raise DataError(too_large(size, limit))
    return bytes(cell.as_buffer().to_pybytes())


def arrow_errors() -> tuple[type[BaseException], ...]:
    """What pyarrow raises on files that are damaged."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError)


@dataclass(frozen=True)
class ArrowFile:
    """What the head of a file says; `names` are those of a ClassLabel in the metadata of Hugging Face."""

    path: Path
    rows: int | None  # None where the file does not say
    schema: Any
    features: dict[str, Any]

    def column(self, name: str, key: str, fits: Callable[[Any], bool], must: str) -> None:
        """DataError where there is no such column, or more than one, or one of another type."""
        if name not in self.schema.names:
            raise DataError(f"{key}: must be a column of {self.path}, got {name!r}; it has {self.schema.names}")
        if (times := self.schema.names.count(name)) > 1:
            raise DataError(f"{key}: must be one column of {self.path}, got {name!r}, which comes {times} times")
        found = self.schema.field(name).type
        if not fits(found):
            raise DataError(f"{key}: must be a column of {must}, got {name!r} of type {found} in {self.path}")

    def names(self, column: str) -> tuple[str, ...] | None:
        feature = self.features.get(column)
        names = feature.get("names") if isinstance(feature, dict) else None
        return tuple(label_text(str(name)) or "" for name in names) if isinstance(names, list) else None


def is_picture(type_: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(type_):
        inner = {type_.field(place).name: type_.field(place).type for place in range(type_.num_fields)}
        return "bytes" in inner and _is_binary(inner["bytes"])
    return _is_binary(type_) or types.is_string(type_) or types.is_large_string(type_)


def _is_binary(type_: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(type_) or types.is_large_binary(type_))


def is_attribute(type_: Any) -> bool:
    """A label, or true and false."""
    import pyarrow.types as types

    return is_label(type_) or bool(types.is_boolean(type_))


def is_label(type_: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(type_) or types.is_string(type_) or types.is_large_string(type_))


def opened(path: Path) -> ArrowFile:
    """The head of a Parquet file, or of a stream of Arrow (`.arrow`)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() in PARQUET:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
            if not 0 <= rows <= os.path.getsize(path):
                raise ValueError(f"it says that it has {rows} rows, more than its bytes")
        else:
            with pa.memory_map(str(path)) as mapped:
                schema, rows = pa.ipc.open_stream(mapped).schema, None
        for column in schema:  # names that are no UTF-8 are an error when they are asked for
            _ = column.name, is_picture(column.type)
    except arrow_errors() as error:
        raise DataError(f"source.path: {path} must be a Parquet or Arrow file that can be read, but {error}") from error
    return ArrowFile(path, rows, schema, _features(schema))


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's `datasets` keeps of the columns in the schema's metadata."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def batches_of(path: Path, columns: Sequence[str], size: int, row: int = 0) -> tuple[int, Iterator[Any]]:
    """Batches of these columns from near a row on, and the row of the first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() not in PARQUET:
        return 0, _checked(pa.ipc.open_stream(pa.memory_map(str(path))), columns)
    file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    start, first, groups = 0, 0, file.metadata.num_row_groups
    while first < groups - 1 and start + file.metadata.row_group(first).num_rows <= row:
        start += file.metadata.row_group(first).num_rows
        first += 1
    return start, _full(file.iter_batches(size, list(range(first, groups)), columns=list(columns), use_threads=False))


def _full(batches: Iterator[Any]) -> Iterator[Any]:
    return (batch for batch in batches if len(batch))


def _checked(batches: Iterator[Any], columns: Sequence[str]) -> Iterator[Any]:
    """Arrow trusts the offsets in its own format; a damaged file must not be followed out of its memory."""
    for batch in batches:
        batch.validate(full=True)
        if len(batch):
            yield batch.select(list(columns))


def cells_by_row(file: ArrowFile, columns: Sequence[str], other: str) -> Iterator[Mapping[str, Any]]:
    """The cells of each row in these columns, by name; as many as the file has rows.

    Without columns the rows are counted by `other`, where the file does not say how many there are.
    """
    if not columns and file.rows is not None:
        yield from ({} for _ in range(file.rows))
        return
    count = 0
    try:
        _, batches = batches_of(file.path, list(dict.fromkeys(columns)) or [other], _LABELS)
        for batch in batches:
            count += len(batch)
            yield from batch.to_pylist() if columns else ({} for _ in range(len(batch)))
        if file.rows is not None and count != file.rows:
            raise ValueError(f"it says that it has {file.rows} rows, and has {count}")
    except arrow_errors() as error:
        raise DataError(f"source.path: {file.path} must be a file that can be read, but {error}") from error
