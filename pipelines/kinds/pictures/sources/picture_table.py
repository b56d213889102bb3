"""A table of pictures: CSV, JSON lines or Parquet, with a column of paths or of bytes, and of labels and attributes."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import cells_of
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import File, Listing, SourcePicture, lies_within
from pipelines.kinds.pictures.sources.arrow_cells import (
    PARQUET,
    ArrowCell,
    ArrowFile,
    cells_by_row,
    is_attribute,
    is_label,
    is_picture,
    opened,
)
from pipelines.kinds.pictures.sources.attributes import columns_by_name, needs_label, told_in
from pipelines.kinds.pictures.sources.contents import Refused, label_text, listing_of, named_file, stamp_of
from pipelines.kinds.pictures.sources.picture_rules import PictureRules, text, text_or_none

CSV, JSON = (".csv", ".tsv"), (".jsonl", ".ndjson")
_LINE_BYTES = 10_000_000
_NO_LABEL = "no label in its row"

Row = tuple[File, str | None, Mapping[str, str]]  # where the picture is, its label and its attributes


@dataclass(frozen=True)
class PictureTable(PictureRules):
    """A folder with a table in it that names a picture a row, and the rules that make pictures equal."""

    kind: Literal["picture_table"]
    path: str
    table: str
    picture_column: str
    label_column: str | None
    delimiter: str
    attributes: dict[str, str]

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "the folder of the table and of the pictures that it names"),
        "table": (
            lambda v: v.lower().endswith((*CSV, *JSON, *PARQUET)) and _is_inside(v),
            "a path below source.path that ends in .csv, .tsv, .jsonl, .ndjson, .parquet or .pq",
        ),
        "picture_column": text,
        "label_column": text_or_none,
        "attributes": columns_by_name,
        "delimiter": (lambda v: len(v) == 1 and v not in '"\r\n', "one character, such as ','"),
        **PictureRules.__checks__,
    }

    def faults(self) -> list[str]:
        return needs_label(self.attributes, self.label_column, "label_column")

    def facts(self) -> SourceFacts:
        return SourceFacts(model_name=name_of(PurePosixPath(self.table).stem, otherwise="pictures"))

    def check_columns(self, root: Path) -> None:
        place = self._place(root)
        if place.suffix.lower() in PARQUET:
            self._check_parquet(opened(place))
        elif place.suffix.lower() in CSV:
            self._header(place, next(_lines(place), b""))

    def _place(self, root: Path) -> Path:
        folder = root / self.path
        place = folder / self.table
        if not place.is_file():
            raise DataError(f"source.table: {place} must be a table, but the file was not found")
        if not lies_within(os.path.realpath(place), os.path.realpath(folder)):
            raise DataError(f"source.table: {place} must lie in {folder}, but it is a link that leads out of it")
        return place

    def listing(self, root: Path) -> Listing:
        place, within = self._place(root), os.path.realpath(root / self.path)
        rows = self._parquet(place, within) if place.suffix.lower() in PARQUET else self._text(place, within)
        found = [
            SourcePicture(f"{place.name}:{number}", label, content, None, told)
            for number, (content, label, told) in enumerate(rows, 1)
        ]
        if not found:
            raise DataError(f"source.table: {place} must have a row for each picture, but it has none")
        return listing_of(found, attributes=dict.fromkeys(self.attributes))

    def _text(self, place: Path, within: str) -> Iterator[Row]:
        is_csv = place.suffix.lower() in CSV
        lines = _lines(place)
        header = self._header(place, next(lines, b"")) if is_csv else []
        for line in lines:
            try:
                cells = _named(header, cells_of(line, self.delimiter)) if is_csv else object_of(line)
            except DataError as error:
                yield Refused.because(str(error)), None, {}
                continue
            name = cells.get(self.picture_column)
            if not isinstance(name, str) or not name:
                yield Refused.because(f"no path in its column {self.picture_column!r}"), None, {}
            else:
                yield self._row(named_file(place.parent, within, name), cells)

    def _row(self, content: File, cells: Mapping[str, Any]) -> Row:
        label = None if self.label_column is None else label_text(cells.get(self.label_column))
        if self.label_column is not None and label is None:
            return Refused.because(_NO_LABEL), None, {}
        try:
            return content, label, told_in(cells, self.attributes)
        except DataError as error:
            return Refused.because(str(error)), None, {}

    def _header(self, place: Path, line: bytes) -> list[str]:
        try:
            header = cells_of(line.removeprefix(b"\xef\xbb\xbf"), self.delimiter) if line else []
        except DataError as error:
            raise DataError(f"source.table: {place} must begin with the names of its columns, but {error}") from error
        keys = {"picture_column": self.picture_column, "label_column": self.label_column}
        keys |= {f"attributes.{name}": column for name, column in self.attributes.items()}
        for key, column in keys.items():
            if column is not None and header.count(column) != 1:
                raise DataError(f"source.{key}: must be a column of {place}, got {column!r}; it has {header}")
        return header

    def _parquet(self, place: Path, within: str) -> Iterator[Row]:
        file, stamp = opened(place), stamp_of(place)
        self._check_parquet(file)
        columns = [column for column in (self.label_column, *self.attributes.values()) if column is not None]
        for row, cells in enumerate(cells_by_row(file, columns, self.picture_column)):
            yield self._row(ArrowCell(place, within, self.picture_column, row, stamp), cells)

    def _check_parquet(self, file: ArrowFile) -> None:
        file.column(self.picture_column, "source.picture_column", is_picture, "bytes, of paths or of bytes and path")
        if self.label_column is not None:
            file.column(self.label_column, "source.label_column", is_label, "text or whole numbers")
        for name, column in self.attributes.items():
            file.column(column, f"source.attributes.{name}", is_attribute, "text, whole numbers, or true and false")


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in PurePosixPath(name).parts and "\\" not in name


def _lines(place: Path) -> Iterator[bytes]:
    """The lines that hold something."""
    with place.open("rb") as file:
        while line := file.readline(_LINE_BYTES + 1):
            if len(line) > _LINE_BYTES:
                raise DataError(f"source.table: {place} must have lines of at most {_LINE_BYTES} bytes; is it a table?")
            if line.strip():
                yield line.rstrip(b"\r\n")


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise DataError(f"{len(cells)} cells in a table of {len(header)} columns")
    return dict(zip(header, cells, strict=True))


def object_of(line: bytes) -> dict[str, Any]:
    """A row of JSON lines."""
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise DataError("not a row of JSON lines: nested too deeply") from error
    except ValueError as error:
        raise DataError(f"not a row of JSON lines: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"not a row of JSON lines: must be an object, got {type(value).__name__}")
    return value
