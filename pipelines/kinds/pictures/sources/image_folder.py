"""Pictures of one's own: a folder, a zip or a tar; a sub-folder a class, the same in folders a split, or no labels."""

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import File, Listing, Member, SourcePicture, is_ignored, lies_within
from pipelines.kinds.pictures.sources.picture_rules import PictureRules
from pipelines.kinds.pictures.sources.tar_files import ENDINGS, is_tar, read_tar
from pipelines.kinds.quarantine import shown_name
from pipelines.kinds.split import SIDES

Entry = tuple[tuple[str, ...], File | Member]  # the parts of a name below the folder, and where the bytes are


@dataclass(frozen=True)
class ImageFolder(PictureRules):
    """A folder, a zip or a tar of pictures, and the rules that make them equal in size and colour."""

    kind: Literal["image_folder"]
    path: str
    labels: Literal["folders", "split_folders", "none"]

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "the path of a folder, a zip or a tar"),
        **PictureRules.__checks__,
    }

    def facts(self) -> SourceFacts:
        """Of a folder nothing is known but its name, which names the model in the registry."""
        return SourceFacts(model_name=name_of(without_ending(Path(self.path).name), otherwise="pictures"))

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        if place.is_dir():
            entries, folders = _in_folder(place)
        elif place.is_file() and is_tar(place):
            entries, folders = _in_tar(place, root)
        elif place.is_file() and zipfile.is_zipfile(place):
            entries, folders = _in_zip(place)
        else:
            came = "a file that is neither" if place.is_file() else "nothing"
            raise DataError(f"source.path: {place} must be a folder, a zip or a tar of pictures, but there is {came}")
        kept = sorted((entry for entry in entries if not is_ignored(entry[0])), key=lambda entry: _order(entry[0]))
        if not kept:
            raise DataError(f"source.path: {place} must hold pictures, but no file in it is to be looked at")
        if self.labels == "folders" and all(len(parts) == 1 for parts, _ in kept):
            raise DataError(_without_folders(place, kept))
        if self.labels == "split_folders":
            _check_splits(place, kept)
        found = [self._found(parts, content) for parts, content in kept]
        classes = {picture.class_name for picture in found if picture.class_name is not None}
        labelled = self.labels == "folders"
        empty = {shown_name(name) for name in folders if labelled and not is_ignored((name,))} - classes
        return Listing(found, tuple(sorted(classes)), len(entries) - len(kept), tuple(sorted(empty)))

    def _found(self, parts: tuple[str, ...], content: File | Member) -> SourcePicture:
        depth = {"none": None, "folders": 0, "split_folders": 1}[self.labels]  # at which the class stands
        side = SIDES.get(parts[0].lower()) if depth == 1 and len(parts) > 1 else None
        labelled = depth is not None and len(parts) > depth + 1 and (depth == 0 or side is not None)
        return SourcePicture(
            name=shown_name("/".join(parts)),
            class_name=shown_name(parts[depth]) if labelled and depth is not None else None,
            content=content,
            split=side,
        )


def _check_splits(place: Path, kept: Sequence[Entry]) -> None:
    """Both sides must be there; what lies outside of them and of their class folders ends in the quarantine."""
    sides = {SIDES.get(parts[0].lower()) for parts, _ in kept if len(parts) > 2}
    if missing := [side for side in ("train", "test") if side not in sides]:
        names = (
            "train" if missing == ["train"] else f"one of {', '.join(SIDES)}" if len(missing) == 2 else "test or val"
        )
        raise DataError(
            f"source.labels: split_folders needs folders of classes in a folder {names} of {place}, but there are none;"
            " set `labels: folders` if the folders there are classes themselves"
        )


def without_ending(name: str) -> str:
    """An archive's name without .zip, .tar and the like."""
    ending = next((each for each in (".zip", *ENDINGS) if name.lower().endswith(each)), "")
    return name.removesuffix(name[len(name) - len(ending) :])


def _without_folders(place: Path, kept: Sequence[Entry]) -> str:
    """What to say where no file lies in a sub-folder."""
    links = sum(isinstance(content, File) and content.path.is_symlink() for _, content in kept)
    if links == len(kept):
        return (
            f"source.path: {place} must hold the folders of the classes themselves, but all {links} entries in it are "
            "links that lead out of it, and such links are not followed; put the folders there"
        )
    return (
        f"source.labels: folders needs a sub-folder for each class in {place}, but all {len(kept)} files lie "
        "directly in it; set `labels: none` to train without labels"
    )


def _order(parts: tuple[str, ...]) -> list[bytes]:
    return [os.fsencode(part) for part in parts]


def _in_folder(folder: Path) -> tuple[list[Entry], set[str]]:
    """Every file below a folder, and the names of the folders directly in it.

    A link is followed if it leads to something inside the folder, but not to a folder on the way to the link itself.
    One that leads out is listed as if it were a file, so that it ends in the quarantine by its name.
    """
    root = os.path.realpath(folder)
    entries: list[Entry] = []
    top: set[str] = set()
    waiting: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), (root,))]  # name's parts, real folders on the way
    while waiting:
        parts, way = waiting.pop()
        for entry in _listed(way[-1]):
            inside = (*parts, entry.name)
            real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if not lies_within(real, root) or not entry.is_dir():
                entries.append((inside, File(Path(entry.path), root)))
            elif real not in way:
                waiting.append((inside, (*way, real)))
                if not parts:
                    top.add(entry.name)
    return entries, top


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise DataError(f"source.path: {folder} must be a folder that can be listed, but {error.strerror}") from error


def _in_zip(path: Path) -> tuple[list[Entry], set[str]]:
    """Every file in a zip, and its outermost folders. A zip whose names lead out of it is refused whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = list(enumerate(archive.infolist()))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"source.path: {path} must be a zip that can be read, but {error}") from error
    entries: list[Entry] = []
    folders: list[tuple[str, ...]] = []
    for number, member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\\" in name or ".." in parts or re.match(r"[A-Za-z]:", name):
            raise DataError(
                f"source.path: every name in {path} must lie inside the zip, but one is {name!r}; the zip is refused "
                "(pack it again without `..`, drive letters, backslashes and leading slashes)"
            )
        if parts and member.is_dir():
            folders.append(parts)
        elif parts:
            entries.append((parts, Member(path, number)))
    return _from_inside(entries, folders)


def _in_tar(path: Path, root: Path) -> tuple[list[Entry], set[str]]:
    """Every file in a tar, and its outermost folders."""
    members = read_tar(path, root)
    entries: list[Entry] = [(each.parts, each.content) for each in members if each.content is not None]
    return _from_inside(entries, [each.parts for each in members if each.content is None and each.parts])


def _from_inside(entries: list[Entry], folders: Sequence[tuple[str, ...]]) -> tuple[list[Entry], set[str]]:
    outer = _outer_folders(entries)
    inner = [(parts[outer:] if len(parts) > outer else parts, content) for parts, content in entries]
    return inner, {parts[outer] for parts in folders if len(parts) > outer}


def _outer_folders(entries: Sequence[Entry]) -> int:
    """1 for an archive of one folder that holds folders (pets.zip: pets/cat/1.png), read from inside it; else 0."""
    seen = [parts for parts, _ in entries if not is_ignored(parts)]
    return int(len({parts[0] for parts in seen}) == 1 and all(len(parts) > 2 for parts in seen))
