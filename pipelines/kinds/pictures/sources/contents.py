"""Where the bytes of a picture are, besides a file of its own and a member of a zip; all are read in the workers."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ddpm_core.errors import DataError
from pipelines.kinds.pictures.rows.rules import File, Listing, SourcePicture, too_large
from pipelines.kinds.quarantine import shown_name

Stamp = tuple[int, int]  # time of the last change in nanoseconds, and size


def stamp_of(path: Path) -> Stamp:
    """What tells one version of a file from the next."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@dataclass(frozen=True)
class Refused(File):
    """An input that is refused as it is listed; reading it says why."""

    reason: str

    @classmethod
    def because(cls, reason: str) -> "Refused":
        return cls(Path(), "", reason)

    def read(self, limit: int) -> bytes:
        raise DataError(self.reason)


@dataclass(frozen=True)
class NamedFile(File):
    """A file that a table names."""

    def read(self, limit: int) -> bytes:
        if not os.path.lexists(self.path):
            raise DataError("file not found")
        return super().read(limit)


def named_file(folder: Path, within: str, name: str) -> File:
    """The file that a table in `folder` names by its path from there."""
    parts = PurePosixPath(name).parts
    if not parts or "\0" in name:
        return Refused.because("no path of a picture in its row")
    if name.startswith("/") or ".." in parts or "\\" in name:
        return Refused.because("a path that leads out of source.path; paths are relative to the table's folder")
    return NamedFile(folder.joinpath(*parts), within)


@dataclass(frozen=True)
class Slice(File):
    """A picture that lies whole in a larger file, such as a tar; it is read from its place, never unpacked."""

    start: int
    size: int
    stamp: Stamp

    def read(self, limit: int) -> bytes:
        if self.size > limit:
            raise DataError(too_large(self.size, limit))
        try:
            if stamp_of(self.path) != self.stamp:
                raise DataError(f"{self.path.name} was changed while it was read; run prepare again")
            with self.path.open("rb") as file:
                file.seek(self.start)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error
        if len(data) < self.size:
            raise DataError(f"{self.path.name} ends before the picture does")
        return data


def label_text(value: Any) -> str | None:
    """A label of text or a whole number as a class's name; None where it is no label."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value).encode("utf-8", "backslashreplace").decode()


def listing_of(
    found: Sequence[SourcePicture],
    names: Sequence[str] | None = None,
    ignored: int = 0,
    attributes: Mapping[str, Sequence[str] | None] | None = None,
) -> Listing:
    """With the classes that occur: in the order of `names`, or of their own names, whole numbers by their value.

    So are those of each of `attributes`, by its name; DataError where no picture has one.
    """
    occur = {picture.class_name for picture in found if picture.class_name is not None}
    told = {
        name: _in_order({picture.told[name] for picture in found if name in picture.told}, order)
        for name, order in (attributes or {}).items()
    }
    if lacking := [name for name, classes in told.items() if not classes]:
        raise DataError(f"source.attributes.{lacking[0]}: must be known of some pictures, but no row says it")
    empty = [shown_name(name) for name in names or () if name not in occur]
    return Listing(found, _in_order(occur, names), ignored, tuple(empty), told)


def _in_order(occur: Collection[str], names: Sequence[str] | None) -> tuple[str, ...]:
    if names is not None:
        return tuple(name for name in names if name in occur)
    whole = all(name.isascii() and name.isdigit() and len(name) < 19 for name in occur)
    return tuple(sorted(occur, key=lambda name: (int(name) if whole else 0, name)))
