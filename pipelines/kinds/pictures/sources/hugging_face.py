"""Data sets of Hugging Face on disk: a folder of Parquet files, or what `save_to_disk` wrote; read by pyarrow alone."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import File, Listing, SourcePicture, is_ignored, lies_within
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
from pipelines.kinds.pictures.sources.contents import Refused, label_text, listing_of, stamp_of
from pipelines.kinds.pictures.sources.picture_rules import PictureRules, text, text_or_none
from pipelines.kinds.quarantine import shown_name
from pipelines.kinds.split import SIDES, SplitName

Names = dict[str | None, tuple[str, ...] | None]
"""The names of a column's classes, where there are some; None is the column of no label."""


@dataclass(frozen=True)
class HuggingFace(PictureRules):
    """A data set of Hugging Face in a folder, and the rules that make its pictures equal."""

    kind: Literal["hugging_face"]
    path: str
    image_column: str
    label_column: str | None
    split: Literal["official", "digest"]
    attributes: dict[str, str]

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "a folder of Parquet files, or one that save_to_disk wrote"),
        "image_column": text,
        "label_column": text_or_none,
        "attributes": columns_by_name,
        **PictureRules.__checks__,
    }

    def faults(self) -> list[str]:
        return needs_label(self.attributes, self.label_column, "label_column")

    def facts(self) -> SourceFacts:
        return SourceFacts(model_name=name_of(Path(self.path).name, otherwise="pictures"))

    def check_columns(self, root: Path) -> None:
        file = opened(files_of(root / self.path)[0])
        file.column(self.image_column, "source.image_column", is_picture, "bytes, of paths or of bytes and path")
        self._names(file)

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        found: list[SourcePicture] = []
        names: Names = {}
        for path in files_of(place):
            file = opened(path)
            file.column(self.image_column, "source.image_column", is_picture, "bytes, of paths or of bytes and path")
            told = self._names(file)
            if found and told != names:
                raise DataError(
                    f"source.path: all files in {place} must name the same classes, but {path} has {told}, and those "
                    f"before it {names}"
                )
            names = told
            found += self._rows(file, place, names)
        if not found:
            raise DataError(f"source.path: {place} must hold pictures, but its files have no row")
        orders = {name: names.get(column) for name, column in self.attributes.items()}
        return listing_of(found, names.get(self.label_column), attributes=orders)

    def _names(self, file: ArrowFile) -> Names:
        """By column those of a ClassLabel in the schema's metadata, or in dataset_info.json beside the file."""
        names: Names = {None: None}
        if self.label_column is not None:
            file.column(self.label_column, "source.label_column", is_label, "text or whole numbers")
            names[self.label_column] = _names_in(file, self.label_column, "source.label_column")
        for name, column in self.attributes.items():
            key = f"source.attributes.{name}"
            file.column(column, key, is_attribute, "text, whole numbers, or true and false")
            names[column] = _names_in(file, column, key)
        return names

    def _rows(self, file: ArrowFile, place: Path, names: Names) -> Iterator[SourcePicture]:
        within, stamp, shown = os.path.realpath(place), stamp_of(file.path), file.path.relative_to(place).as_posix()
        split = _split_of(file.path) if self.split == "official" else None
        if self.split == "official" and split is None:
            raise DataError(
                f"source.split: official needs files or folders named after their split (train, test, validation), "
                f"but {file.path} is not; set `split: digest`"
            )
        columns = [column for column in names if column is not None]
        for row, cells in enumerate(cells_by_row(file, columns, self.image_column)):
            content: File = ArrowCell(file.path, within, self.image_column, row, stamp)
            class_name: str | None = None
            told: Mapping[str, str] = {}
            try:
                class_name, told = self._told(cells, names)
            except DataError as error:
                content = Refused.because(str(error))
            yield SourcePicture(f"{shown_name(shown)}:{row + 1}", class_name, content, split, told)

    def _told(self, cells: Mapping[str, Any], names: Names) -> tuple[str | None, Mapping[str, str]]:
        """The class and the attributes of a row; DataError where they cannot be had."""
        label = None
        if self.label_column is not None:
            label = _class_of(cells[self.label_column], names[self.label_column])
        named = {
            column: _class_of(cells[column], names[column])
            for column in self.attributes.values()
            if cells[column] is not None and names[column] is not None
        }
        return label, told_in({**cells, **named}, self.attributes)


def _names_in(file: ArrowFile, column: str, key: str) -> tuple[str, ...] | None:
    names = file.names(column)
    info = file.path.parent / "dataset_info.json"
    if names is None and info.is_file():
        features = _json(info).get("features")
        beside = ArrowFile(file.path, None, file.schema, features if isinstance(features, dict) else {})
        names = beside.names(column)
    if names is not None and len(set(names)) < len(names):
        raise DataError(f"{key}: the classes of {file.path} must have different names, got {names}")
    return names


def _class_of(label: Any, names: tuple[str, ...] | None) -> str:
    """A class; DataError says why there is none."""
    text = label_text(label)
    if text is None:
        raise DataError("no label in its row")
    if names is None:
        return text
    if isinstance(label, int):
        if not 0 <= label < len(names):
            raise DataError(f"label {label} is none of {len(names)}")
        return names[label]
    if text not in names:
        raise DataError(f"label {text!r} is none of the {len(names)} names")
    return text


def files_of(place: Path) -> list[Path]:
    """The files of a data set, in order; DataError where they are none, or lead out of the folder."""
    if not place.is_dir():
        came = "a file" if place.is_file() else "nothing"
        raise DataError(f"source.path: {place} must be a folder of a data set of Hugging Face, but there is {came}")
    saved = list(_saved(place))
    files = saved or sorted(
        path for path in place.rglob("*")
        if path.suffix.lower() in PARQUET and not is_ignored(path.relative_to(place).parts)
    )  # fmt: skip
    if not files:
        raise DataError(
            f"source.path: {place} must be a folder of a data set of Hugging Face, but it has neither Parquet files "
            "nor a state.json, which save_to_disk writes"
        )
    within = os.path.realpath(place)
    for path in files:
        if not path.is_file():
            raise DataError(f"source.path: {path} must be a file of the data set, but the file was not found")
        if not lies_within(os.path.realpath(path), within):
            raise DataError(f"source.path: {path} must lie in {place}, but it is a link that leads out; copy it there")
    return files


def _saved(place: Path) -> Iterator[Path]:
    """The Arrow files of one data set that was saved, or of each in a DatasetDict."""
    if (place / "dataset_dict.json").is_file():
        splits = _json(place / "dataset_dict.json").get("splits")
        for name in splits if isinstance(splits, list) else []:
            yield from _saved(place / _inside(place, name))
    elif (place / "state.json").is_file():
        files = _json(place / "state.json").get("_data_files")
        for each in files if isinstance(files, list) else []:
            yield place / _inside(place, each.get("filename") if isinstance(each, dict) else None)


def _inside(place: Path, name: Any) -> str:
    if not isinstance(name, str) or PurePosixPath(name).name != name or "\\" in name or name == ".." or "\0" in name:
        raise DataError(f"source.path: {place} must name files in it, but it names {name!r}")
    return name


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"source.path: {path} must be JSON, but {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"source.path: {path} must be a JSON object, got {type(value).__name__}")
    return value


def _split_of(path: Path) -> SplitName | None:
    """By the file's name up to the first - or ., or by its folder's."""
    for name in (path.name.replace(".", "-").split("-")[0], path.parent.name):
        if name.lower() in SIDES:
            return SIDES[name.lower()]
    return None
