"""What a source gives: pictures as they were found, and the rules by which they become equal in size and colour."""

import lzma
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec, labelled

CLUSTERS = "clusters"  # of DataSpec.about: how many are asked for

Channels = Literal["grey", "rgb", "rgba"]
Fit = Literal["crop", "pad", "stretch"]
Filter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
MODES: Mapping[Channels, str] = {"grey": "L", "rgb": "RGB", "rgba": "RGBA"}
"""Pillow's names for them."""
BACKGROUND = "background"  # in DataSpec.about: what transparent pictures are laid on where they are looked at without


@dataclass(frozen=True)
class Rules:
    """How a decoded picture becomes one of the data set: every choice that changes its pixels or refuses it."""

    size: tuple[int, int]  # width and height
    channels: Channels
    fit: Fit
    filter: Filter
    background: tuple[int, int, int]
    min_side: int
    max_pixels: int
    max_bytes: int
    clusters: int | None = None  # into so many pseudo-classes pictures without labels are grouped; None: they are not

    def spec(self, classes: Sequence[str], attributes: Mapping[str, Sequence[str]] | None = None) -> DataSpec:
        width, height = self.size
        shape = (len(MODES[self.channels]), height, width)
        spec = labelled(shape=shape, range=(-1.0, 1.0), levels=256, classes=tuple(classes), attributes=attributes)
        about: dict[str, Any] = {} if self.channels != "rgba" else {BACKGROUND: list(self.background)}
        about |= {} if self.clusters is None else {CLUSTERS: self.clusters}
        return replace(spec, about=about) if about else spec


@dataclass(frozen=True)
class Pixels:
    """A picture that its source holds decoded: uint8, rows of pixels of 1 or 3 channels."""

    data: bytes
    shape: tuple[int, int, int]  # [H, W, C]

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> "Pixels":
        height, width = image.shape[:2]
        return cls(np.ascontiguousarray(image).tobytes(), (height, width, image.size // (height * width)))


@dataclass(frozen=True)
class File:
    """A picture in a file of its own; a link is followed only to what lies `within` the source's real folder."""

    path: Path
    within: str

    def read(self, limit: int) -> bytes:
        if not self.path.exists():
            raise DataError("a link whose target is missing")
        if not lies_within(os.path.realpath(self.path), self.within):
            raise DataError("a link that leads out of source.path; it is not followed (put the picture itself there)")
        if not self.path.is_file():
            raise DataError("not a regular file")
        size = self.path.stat().st_size
        if size > limit:
            raise DataError(too_large(size, limit))
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Member:
    """A picture inside a zip, known by its place in the archive's list; it is read in memory, never unpacked."""

    archive: Path
    number: int

    def read(self, limit: int) -> bytes:
        archive = _opened(self.archive, self.archive.stat().st_mtime_ns)
        member = archive.infolist()[self.number]
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the zip does not say
        if kind == stat.S_IFLNK:
            raise DataError("a link inside its zip; it is not followed (pack the picture itself)")
        if kind not in (0, stat.S_IFREG):
            raise DataError("not a regular file inside its zip")
        if member.flag_bits & 1:
            raise DataError("encrypted inside its zip")
        if member.file_size > limit:
            raise DataError(too_large(member.file_size, limit))
        try:
            with archive.open(member) as file:
                data = file.read(limit + 1)
        except _ZIP_ERRORS as error:
            raise DataError(f"damaged inside its zip: {error}") from error
        if len(data) > limit:
            raise DataError(too_large(len(data), limit))
        return data


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


@lru_cache(maxsize=1)
def _opened(path: Path, changed: int) -> zipfile.ZipFile:
    """An archive, opened once a process: its list of members is long to read. `changed` tells a newer one apart."""
    return zipfile.ZipFile(path)


def too_large(size: int, limit: int) -> str:
    return f"{size} bytes, more than the {limit} that max_megabytes allows"


@dataclass(frozen=True)
class SourcePicture:
    """One picture as its source found it."""

    name: str
    class_name: str | None
    content: Pixels | File | Member
    split: Literal["train", "test"] | None  # where its source says so itself, else None
    told: Mapping[str, str] = field(default_factory=dict)  # the class of each attribute that is known


@dataclass(frozen=True)
class Listing:
    """Everything that a source found, in an order that is always the same, and what it left out by rule."""

    found: Sequence[SourcePicture]
    classes: tuple[str, ...]
    ignored: int
    empty: tuple[str, ...] = ()  # class folders without a picture; they are no classes
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the classes of each


def lies_within(real: str, folder: str) -> bool:
    """Whether a real path is a real folder or lies below it."""
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)


def is_ignored(parts: Sequence[str]) -> bool:
    """Hidden files and folders, and what file managers leave behind, are no pictures and are not counted."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in _LITTER


_LITTER = {"thumbs.db", "desktop.ini"}


def first_of_each_class(found: Iterator[SourcePicture], limit: int | None) -> list[SourcePicture]:
    """At most `limit` pictures of a class (and of a split, where the source has splits), the first; None takes all."""
    if limit is None:
        return list(found)
    taken: Counter[tuple[str | None, str | None]] = Counter()
    kept = []
    for picture in found:
        group = (picture.class_name, picture.split)
        taken[group] += 1
        if taken[group] <= limit:
            kept.append(picture)
    return kept
