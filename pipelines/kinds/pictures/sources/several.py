"""Several sources as one data set, and classes that are chosen or merged."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config
from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import Listing, Rules, SourcePicture
from pipelines.kinds.pictures.sources.contents import Refused, listing_of
from pipelines.kinds.pictures.sources.embedded_digits import EmbeddedDigits
from pipelines.kinds.pictures.sources.hugging_face import HuggingFace
from pipelines.kinds.pictures.sources.image_folder import ImageFolder, without_ending
from pipelines.kinds.pictures.sources.picture_table import PictureTable
from pipelines.kinds.pictures.sources.torchvision_set import Torchvision
from pipelines.kinds.pictures.sources.webdataset_shards import WebDataset

LocalSource = EmbeddedDigits | ImageFolder | Torchvision | PictureTable | HuggingFace | WebDataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes(Config):
    """`merge` gives classes a new name together; `keep` leaves out all others, by their names after that."""

    keep: tuple[str, ...] | None
    merge: dict[str, tuple[str, ...]]

    __checks__: ClassVar[Checks] = {
        "keep": (lambda v: v is None or len(set(v)) == len(v) >= 1, "null (all) or different names, one at least"),
        "merge": (
            lambda v: all(v.values()) and len({name for group in v.values() for name in group})
            == sum(len(group) for group in v.values()),
            "new names with the classes of each, every class in one of them",
        ),
    }  # fmt: skip

    def faults(self) -> list[str]:
        gone = [name for group in self.merge.values() for name in group if name not in self.merge]
        lost = [name for name in self.keep or () if name in gone]
        return [f"keep: must be names after merging, got {name!r}, which is merged" for name in lost]

    def name_of(self, name: str) -> str:
        return next((new for new, group in self.merge.items() if name in group), name)


@dataclass(frozen=True)
class Several(Config):
    """Sources below one folder, which DVC watches; equal names of classes are one class, and so of attributes."""

    kind: Literal["several"]
    path: str
    unlabelled: Literal["refuse", "quarantine", "drop_labels"]
    classes: Classes
    sources: tuple[LocalSource, ...]

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "the folder that holds all sources"),
        "sources": (lambda v: len(v) >= 1, "at least one source"),
    }

    def faults(self) -> list[str]:
        first = self.sources[0].rules()
        lines = []
        for number, source in enumerate(self.sources):
            path = PurePosixPath(source.path)
            if path.is_absolute() or ".." in path.parts:
                lines.append(f"sources[{number}].path: must be relative to source.path and below it, got {source.path}")
            other = [
                each.name for each in fields(Rules) if getattr(source.rules(), each.name) != getattr(first, each.name)
            ]
            if other:
                lines.append(
                    f"sources[{number}]: must have the rules of sources[0], for one data set has one; other: "
                    f"{', '.join(other)}"
                )
        return lines

    def rules(self) -> Rules:
        return self.sources[0].rules()

    def facts(self) -> SourceFacts:
        return SourceFacts(model_name=name_of(without_ending(Path(self.path).name), otherwise="pictures"))

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        if not place.exists():
            raise DataError(f"source.path: {place} must hold the sources, but there is nothing")
        listings = [replace(source, path=str(place / source.path)).listing(root) for source in self.sources]
        labelled = [bool(listing.classes) for listing in listings]
        if any(labelled) and not all(labelled) and self.unlabelled == "refuse":
            without = ", ".join(f"sources[{place}]" for place, has in enumerate(labelled) if not has)
            raise DataError(
                f"source.sources: all or none must have labels, but {without} has none; set `unlabelled: drop_labels` "
                "to train without labels, `quarantine` to leave these pictures out, or change the sources"
            )
        dropped = any(labelled) and not all(labelled) and self.unlabelled == "drop_labels"
        if not any(labelled) or dropped:
            self._check_no_choice()
        left_out: Counter[str] = Counter()
        found = list(self._found(listings, dropped, left_out))
        for name, count in sorted(left_out.items()):
            log.info("left out %d pictures of class %s, which source.classes.keep does not name", count, name)
        if not found:
            raise DataError("source.classes.keep: must name a class with pictures, but none is left")
        attributes = dict.fromkeys(name for listing in listings for name in listing.attributes)
        ignored = sum(listing.ignored for listing in listings) + left_out.total()
        whole = listing_of(found, ignored=ignored, attributes={} if dropped else attributes)
        self._check_names(listings, whole.classes, dropped)
        empty = {self.classes.name_of(name) for listing in listings for name in listing.empty}
        wanted = {name for name in empty if self.classes.keep is None or name in self.classes.keep}
        return replace(whole, empty=tuple(sorted(wanted - set(whole.classes))))

    def _found(self, listings: list[Listing], dropped: bool, left_out: "Counter[str]") -> Iterator[SourcePicture]:
        keep = self.classes.keep
        for source, listing in zip(self.sources, listings, strict=True):
            start = "" if PurePosixPath(source.path) == PurePosixPath() else f"{PurePosixPath(source.path)}/"
            for picture in listing.found:
                name = None if picture.class_name is None or dropped else self.classes.name_of(picture.class_name)
                if name is not None and keep is not None and name not in keep:
                    left_out[name] += 1
                    continue
                content = picture.content
                if not listing.classes and any(other.classes for other in listings) and not dropped:
                    content = Refused.because("its source has no labels, and others have (source.unlabelled)")
                yield replace(picture, name=start + picture.name, class_name=name, content=content)

    def _check_no_choice(self) -> None:
        if self.classes.keep is not None or self.classes.merge:
            raise ParamsError("source.classes: must be `keep: null` and `merge: {}` where there are no labels")

    def _check_names(self, listings: list[Listing], after: tuple[str, ...], dropped: bool) -> None:
        """A name that no source has is a slip."""
        if dropped:
            return
        before = {name for listing in listings for name in (*listing.classes, *listing.empty)}
        asked = [("merge", name, before) for group in self.classes.merge.values() for name in group]
        asked += [("keep", name, set(after)) for name in self.classes.keep or ()]
        for key, name, known in asked:
            if name not in known:
                raise DataError(
                    f"source.classes.{key}: must name classes of the sources, got {name!r}; there are {sorted(known)}"
                )
