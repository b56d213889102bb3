"""Points of one's own: a CSV file, or a folder of them, with a header that names the columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ddpm_core.checks import Check, Checks, Config, at_least_1, positive
from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import Mark, cells_of, no_number, number_of, path_below
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.points.sources.found import PointListing, accepted
from pipelines.kinds.prepared import Accepted
from pipelines.kinds.quarantine import Rejected

_text: Check = (lambda v: bool(v.strip()), "text")


@dataclass(frozen=True)
class CsvFiles(Config):
    """A file or a folder of files; the header names the columns.

    A line is a row: a quoted cell ends in its line. A row that cannot be used is quarantined. A file that cannot be
    used is an error, because all its rows would be lost.
    """

    kind: Literal["csv"]
    path: str
    x: str
    y: str
    class_column: str | None
    classes: tuple[str, ...] | None
    delimiter: str
    decimal: Mark
    max_rows: int
    max_megabytes: float

    __checks__: ClassVar[Checks] = {
        "path": _text,
        "x": _text,
        "y": _text,
        "classes": (
            lambda v: v is None or len(set(v)) == len(v) >= 1,
            "null (all that there are) or different names, one at least",
        ),
        "delimiter": (lambda v: len(v) == 1 and v not in '"\r\n', "one character, and no quotation mark"),
        "max_rows": at_least_1,
        "max_megabytes": positive,
    }

    def faults(self) -> list[str]:
        used = [self.x, self.y, *([] if self.class_column is None else [self.class_column])]
        lines = []
        if len(set(used)) < len(used):
            lines.append(f"x, y, class_column: must be different columns, got {', '.join(used)}")
        if self.classes is not None and self.class_column is None:
            lines.append(f"classes: must be null without a class_column, got {list(self.classes)}")
        return lines

    def facts(self) -> SourceFacts:
        """Of a file nothing is known but its name, which names the model in the registry."""
        return SourceFacts(model_name=name_of(Path(self.path).stem, "points"))

    def check_columns(self, root: Path) -> None:
        file = self._files(root / self.path)[0]
        with file.open("rb") as lines:
            first = next((line for line in lines if line.strip()), b"")
        self._header(file, first.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"))

    def listing(self, root: Path) -> PointListing:
        outcomes: list[Accepted | Rejected] = []
        for file in self._files(root / self.path):
            outcomes += self._of_file(
                file, file.name if file == root / self.path else path_below(file, root / self.path)
            )
            if len(outcomes) > self.max_rows:
                raise DataError(
                    f"source.path: {root / self.path} must have at most source.max_rows = {self.max_rows} rows; raise "
                    "it, or give fewer"
                )
        names = {each.class_name for each in outcomes if isinstance(each, Accepted) and each.class_name is not None}
        return PointListing(outcomes, tuple(sorted(self.classes or names)))

    def _files(self, place: Path) -> list[Path]:
        """The file, or all in the folder that end in .csv and are not hidden, in an order that is always the same."""
        if place.is_file():
            return [place]
        files = [file for file in place.rglob("*") if file.suffix.lower() == ".csv" and file.is_file()]
        files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(place).parts)]
        if not files:
            came = "none in it" if place.is_dir() else "nothing"
            raise DataError(f"source.path: {place} must be a .csv file or a folder of them, but there is {came}")
        return sorted(files, key=lambda file: file.relative_to(place).as_posix().encode("utf-8", "surrogateescape"))

    def _of_file(self, file: Path, name: str) -> Iterator[Accepted | Rejected]:
        if (size := file.stat().st_size) > self.max_megabytes * 1e6:
            raise DataError(
                f"source.path: {file} must have at most {self.max_megabytes:g} MB (max_megabytes), got {size:,} bytes"
            )
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        lines = ((number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip())
        columns = self._header(file, next(lines, (1, b""))[1])
        for number, line in lines:
            try:
                yield self._point(f"{name}:{number}", cells_of(line, self.delimiter), columns)
            except DataError as error:
                yield Rejected.of(f"{name}:{number}", str(error), line)

    def _header(self, file: Path, line: bytes) -> list[str]:
        """The names of all columns; those that are asked for must be among them, once."""
        try:
            columns = cells_of(line, self.delimiter)
        except DataError as error:
            raise DataError(
                f"source.path: {file} must begin with the names of its columns, in UTF-8: {error}"
            ) from error
        for key, wanted in (("x", self.x), ("y", self.y), ("class_column", self.class_column)):
            if wanted is not None and columns.count(wanted) != 1:
                raise DataError(
                    f"source.{key}: {file} must have one column {wanted!r}, got {columns.count(wanted)} of the name; "
                    f"its columns are {', '.join(columns)[:200] or 'none'}, at the delimiter {self.delimiter!r}"
                )
        return columns

    def _point(self, name: str, cells: list[str], columns: list[str]) -> Accepted:
        if len(cells) != len(columns):
            raise DataError(f"{len(cells)} cells where the header has {len(columns)}")
        of = dict(zip(columns, cells, strict=True))
        class_name = None if self.class_column is None else of[self.class_column]
        if class_name == "":
            raise DataError(f"nothing in column {self.class_column!r}")
        if class_name is not None and self.classes is not None and class_name not in self.classes:
            raise DataError(f"{class_name[:60]!r} in column {self.class_column!r} is not in source.classes")
        return accepted(name, self._number(of, self.x), self._number(of, self.y), class_name)

    def _number(self, cells: Mapping[str, str], column: str) -> float:
        cell = cells[column]
        if not cell:
            raise DataError(f"nothing in column {column!r}")
        try:
            return number_of(cell, self.decimal)
        except ValueError as error:
            raise DataError(no_number(cell, column, self.decimal)) from error
