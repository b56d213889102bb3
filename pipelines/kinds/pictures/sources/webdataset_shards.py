"""Shards in WebDataset's format: a tar, or a folder of them, with a picture and a label for each sample."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks
from ddpm_core.errors import DataError
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import Listing, SourcePicture, is_ignored, lies_within
from pipelines.kinds.pictures.sources.attributes import columns_by_name, told_in
from pipelines.kinds.pictures.sources.contents import Refused, Slice, label_text, listing_of
from pipelines.kinds.pictures.sources.image_folder import without_ending
from pipelines.kinds.pictures.sources.picture_rules import PictureRules
from pipelines.kinds.pictures.sources.tar_files import ENDINGS, TarEntry, is_tar, read_tar
from pipelines.kinds.quarantine import shown_name

PICTURES = ("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "pbm")
_LABEL_BYTES = 1_000_000


@dataclass(frozen=True)
class WebDataset(PictureRules):
    """Tars whose members belong to one sample where their names are equal up to the first dot."""

    kind: Literal["webdataset"]
    path: str
    labels: Literal["cls", "json", "none"]
    json_key: str | None
    attributes: dict[str, str]

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "the path of a tar, or of a folder of them"),
        "attributes": columns_by_name,
        **PictureRules.__checks__,
    }

    def faults(self) -> list[str]:
        if self.labels == "json" and not self.json_key:
            return [f"json_key: must be the key of the label where labels is json, got {self.json_key!r}"]
        if self.labels != "json" and self.attributes:
            return [f"attributes: must be none unless labels is json, whose keys they are, got labels {self.labels}"]
        return []

    def facts(self) -> SourceFacts:
        return SourceFacts(model_name=name_of(without_ending(Path(self.path).name), otherwise="pictures"))

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        found: list[SourcePicture] = []
        ignored = 0
        for path in shards_of(place):
            files = [entry for entry in read_tar(path, root) if entry.content is not None]
            kept = [entry for entry in files if not is_ignored(entry.parts)]
            ignored += len(files) - len(kept)
            for _, sample in groupby(kept, key=lambda entry: _key(entry.parts)):
                found += self._sample(path.name, list(sample))
        if not found:
            raise DataError(f"source.path: {place} must hold samples with pictures, but there is none")
        return listing_of(found, ignored=ignored, attributes=dict.fromkeys(self.attributes))

    def _sample(self, shard: str, members: Sequence[TarEntry]) -> Iterator[SourcePicture]:
        """One picture, or a line for each member that says why not."""
        pictures = [entry for entry in members if _field(entry.parts).rpartition(".")[2] in PICTURES]

        def refused(entry: TarEntry, reason: str) -> SourcePicture:
            return SourcePicture(_name(shard, entry), None, Refused.because(reason), None)

        if not pictures:
            yield refused(members[0], "a sample without a picture")
            return
        if len(pictures) > 1:
            yield from (refused(entry, "a sample with several pictures") for entry in pictures)
            return
        label: str | None = None
        told: Mapping[str, str] = {}
        if self.labels != "none":
            try:
                label, told = self._told(members)
            except DataError as error:
                yield refused(pictures[0], str(error))
                return
        yield SourcePicture(
            _name(shard, pictures[0]), label, pictures[0].content or Refused.because("a folder"), None, told
        )

    def _told(self, members: Sequence[TarEntry]) -> tuple[str, Mapping[str, str]]:
        """The label and the attributes."""
        texts = [entry.content for entry in members if _field(entry.parts) == self.labels]
        if len(texts) != 1 or not isinstance(texts[0], Slice):
            raise DataError(f"a sample with {len(texts)} files .{self.labels}; one must hold its label")
        try:
            value: Any = texts[0].read(_LABEL_BYTES).decode("utf-8").strip()
            keys: Mapping[str, Any] = {}
            if self.labels == "json":
                read = json.loads(value)
                keys = read if isinstance(read, dict) else {}
                value = keys.get(self.json_key or "")
        except (ValueError, RecursionError) as error:
            raise DataError(f"a label that cannot be read: {error}") from error
        label = label_text(value)
        if label is None:
            raise DataError("a sample without a label")
        return label, told_in(keys, self.attributes)


def shards_of(place: Path) -> list[Path]:
    """The tars in a folder in the order of their names, or the one that the path is."""
    if place.is_file() and is_tar(place):
        return [place]
    if not place.is_dir():
        came = "a file that is none" if place.is_file() else "nothing"
        raise DataError(f"source.path: {place} must be a tar or a folder of tars, but there is {came}")
    shards = sorted(
        path for path in place.iterdir() if path.name.lower().endswith(ENDINGS) and not is_ignored((path.name,))
    )
    if not shards:
        raise DataError(f"source.path: {place} must hold tars, but there is none ({', '.join(ENDINGS)})")
    within = os.path.realpath(place)
    for path in shards:
        if not path.is_file() or not lies_within(os.path.realpath(path), within):
            raise DataError(f"source.path: {path} must be a file in {place}, and no link that leads out of it")
    return shards


def _key(parts: tuple[str, ...]) -> tuple[str, ...]:
    """All of a name up to the first dot of its last part."""
    return (*parts[:-1], parts[-1].partition(".")[0])


def _field(parts: tuple[str, ...]) -> str:
    return parts[-1].partition(".")[2].lower()


def _name(shard: str, entry: TarEntry) -> str:
    return shown_name(f"{shard}/{'/'.join(entry.parts)}")
