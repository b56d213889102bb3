"""Pictures of one's own: a folder or a zip, a sub-folder a class, or all in one without labels."""

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1, positive, run_checks
from ddpm_core.errors import DataError
from pipelines.sources.pictures import (
    Channels,
    File,
    Filter,
    Fit,
    Found,
    Listing,
    Member,
    Rules,
    is_ignored,
    shown_name,
)

_MEGABYTE = 1_000_000

Entry = tuple[tuple[str, ...], File | Member]  # the parts of a name below the folder, and where the bytes are


@dataclass(frozen=True)
class ImageFolder:
    """A folder or a zip of pictures, and the rules that make them equal in size and colour."""

    kind: Literal["image_folder"]
    path: str
    labels: Literal["folders", "none"]
    size: int
    channels: Channels
    fit: Fit
    filter: Filter
    background: tuple[int, int, int]
    min_side: int
    max_megapixels: float
    max_megabytes: float

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}
    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "the path of a folder or a zip"),
        "size": at_least_1,
        "background": (lambda v: all(0 <= level <= 255 for level in v), "three levels of 0 to 255 (red, green, blue)"),
        "min_side": at_least_1,
        "max_megapixels": positive,
        "max_megabytes": positive,
    }

    def __post_init__(self) -> None:
        run_checks(self)

    def rules(self) -> Rules:
        return Rules(
            size=self.size,
            channels=self.channels,
            fit=self.fit,
            filter=self.filter,
            background=self.background,
            min_side=self.min_side,
            max_pixels=int(self.max_megapixels * 1_000_000),
            max_bytes=int(self.max_megabytes * _MEGABYTE),
        )

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        if place.is_dir():
            entries: list[Entry] = list(_in_folder(place))
        elif place.is_file() and zipfile.is_zipfile(place):
            entries = list(_in_zip(place))
        else:
            came = "a file that is no zip" if place.is_file() else "nothing"
            raise DataError(f"source.path: {place} must be a folder or a zip of pictures, but there is {came}")
        kept = sorted((entry for entry in entries if not is_ignored(entry[0])), key=lambda entry: _order(entry[0]))
        if not kept:
            raise DataError(f"source.path: {place} must hold pictures, but no file in it is to be looked at")
        labelled = self.labels == "folders"
        if labelled and all(len(parts) == 1 for parts, _ in kept):
            raise DataError(
                f"source.labels: folders needs a sub-folder for each class in {place}, but all {len(kept)} files lie "
                "directly in it; set `labels: none` to train without labels"
            )
        found = [
            Found(
                name=shown_name("/".join(parts)),
                class_name=shown_name(parts[0]) if labelled and len(parts) > 1 else None,
                content=content,
                split=None,
            )
            for parts, content in kept
        ]
        classes = sorted({picture.class_name for picture in found if picture.class_name is not None})
        return Listing(found=found, classes=tuple(classes), ignored=len(entries) - len(kept))


def _order(parts: tuple[str, ...]) -> list[bytes]:
    return [os.fsencode(part) for part in parts]


def _in_folder(folder: Path) -> Iterator[Entry]:
    """Every file below a folder. Links are followed, except to a folder that the link itself lies in."""
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [name for name in folders if not f"{real}{os.sep}".startswith(_real_target(place, name) + os.sep)]
        inside = Path(place).relative_to(folder).parts
        for name in names:
            yield (*inside, name), File(Path(place, name))


def _real_target(place: str, name: str) -> str:
    return os.path.realpath(os.path.join(place, name))


def _in_zip(path: Path) -> Iterator[Entry]:
    """Every file in a zip. A zip whose names lead out of it is refused whole: someone made it to do harm."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [(member, number) for number, member in enumerate(archive.infolist()) if not member.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"source.path: {path} must be a zip that can be read, but {error}") from error
    entries: list[Entry] = []
    for member, number in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\\" in name or ".." in parts or re.match(r"[A-Za-z]:", name):
            raise DataError(
                f"source.path: every name in {path} must lie inside the zip, but one is {name!r}; the zip is refused "
                "(pack it again without `..`, drive letters, backslashes and leading slashes)"
            )
        if parts:
            entries.append((parts, Member(path, number)))
    yield from _without_outer_folder(entries)


def _without_outer_folder(entries: list[Entry]) -> Iterator[Entry]:
    """A zip of one folder that holds folders (pets.zip: pets/cat/1.png) is read as if zipped from inside of it."""
    seen = [parts for parts, _ in entries if not is_ignored(parts)]
    wrapped = len({parts[0] for parts in seen}) == 1 and all(len(parts) > 2 for parts in seen)
    for parts, content in entries:
        yield (parts[1:] if wrapped and len(parts) > 1 else parts), content
