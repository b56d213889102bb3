"""Data sets of Hugging Face on disk: a folder of Parquet files, or what `save_to_disk` wrote; read by pyarrow alone."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import File, Found, Listing, is_ignored, lies_within
from pipelines.kinds.pictures.sources.arrow_cells import (
    PARQUET,
    ArrowCell,
    ArrowFile,
    is_label,
    is_picture,
    labels_of,
    opened,
)
from pipelines.kinds.pictures.sources.contents import Refused, label_text, listing_of, stamp_of
from pipelines.kinds.pictures.sources.picture_rules import PictureRules, text, text_or_none
from pipelines.kinds.quarantine import shown_name
from pipelines.kinds.split import SplitName

_SPLITS: dict[str, SplitName] = {"train": "train", "test": "test", "validation": "test", "valid": "test", "val": "test"}


@dataclass(frozen=True)
class HuggingFace(PictureRules):
    """A data set of Hugging Face in a folder, and the rules that make its pictures equal."""

    kind: Literal["hugging_face"]
    path: str
    image_column: str
    label_column: str | None
    split: Literal["official", "digest"]

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "a folder of Parquet files, or one that save_to_disk wrote"),
        "image_column": text,
        "label_column": text_or_none,
        **PictureRules.__checks__,
    }

    def facts(self) -> SourceFacts:
        return SourceFacts(model_name=name_of(Path(self.path).name, otherwise="pictures"))

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        found: list[Found] = []
        names: tuple[str, ...] | None = None
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
        return listing_of(found, names)

    def _names(self, file: ArrowFile) -> tuple[str, ...] | None:
        """Those of the ClassLabel in the schema's metadata, or in dataset_info.json beside the file."""
        if self.label_column is None:
            return None
        file.column(self.label_column, "source.label_column", is_label, "text or whole numbers")
        names = file.names(self.label_column)
        info = file.path.parent / "dataset_info.json"
        if names is None and info.is_file():
            features = _json(info).get("features")
            beside = ArrowFile(file.path, None, file.schema, features if isinstance(features, dict) else {})
            names = beside.names(self.label_column)
        if names is not None and len(set(names)) < len(names):
            raise DataError(f"source.label_column: the classes of {file.path} must have different names, got {names}")
        return names

    def _rows(self, file: ArrowFile, place: Path, names: tuple[str, ...] | None) -> Iterator[Found]:
        within, stamp, shown = os.path.realpath(place), stamp_of(file.path), file.path.relative_to(place).as_posix()
        split = _split_of(file.path) if self.split == "official" else None
        if self.split == "official" and split is None:
            raise DataError(
                f"source.split: official needs files or folders named after their split (train, test, validation), "
                f"but {file.path} is not; set `split: digest`"
            )
        for row, label in enumerate(labels_of(file, self.label_column, self.image_column)):
            content: File = ArrowCell(file.path, within, self.image_column, row, stamp)
            class_name: str | None = None
            if self.label_column is not None:
                class_name, reason = _class_of(label, names)
                content = Refused.because(reason) if class_name is None else content
            yield Found(f"{shown_name(shown)}:{row + 1}", class_name, content, split)


def _class_of(label: Any, names: tuple[str, ...] | None) -> tuple[str | None, str]:
    """A class, or None and why there is none."""
    text = label_text(label)
    if text is None:
        return None, "no label in its row"
    if names is None:
        return text, ""
    if isinstance(label, int):
        return (names[label], "") if 0 <= label < len(names) else (None, f"label {label} is none of {len(names)}")
    return (text, "") if text in names else (None, f"label {text!r} is none of the {len(names)} names")


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
        if name.lower() in _SPLITS:
            return _SPLITS[name.lower()]
    return None
