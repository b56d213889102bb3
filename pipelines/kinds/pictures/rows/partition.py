"""Pictures in partitions: where a source is cut, and what a worker does with one of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.files import json_bytes, sha256_bytes
from pipelines.kinds import partitioned
from pipelines.kinds.partitioned import PartitionPlan, write_partition
from pipelines.kinds.pictures.rows.likeness import first_alike
from pipelines.kinds.pictures.rows.prepare import bytes_of, outcome_of, outcomes_of
from pipelines.kinds.pictures.rows.row import PictureRow
from pipelines.kinds.pictures.rows.rules import Rules, SourcePicture
from pipelines.kinds.prepared import Accepted
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.split import PictureSplit
from pipelines.partitions.cut import cuts, partition_ids
from pipelines.partitions.store import PartitionStore, code_digest

if TYPE_CHECKING:
    from pipelines.kinds.pictures.sources import SourceConfig

Seen = tuple[str | None, str]  # the digest of a picture's bytes, or why they cannot be read


def partition_plan(source: "SourceConfig", split: PictureSplit, root: Path, mean: int) -> PartitionPlan:
    """The pictures of a source in partitions of `mean` on the average."""
    files = [*Path(__file__).parent.glob("*.py"), Path(partitioned.__file__)]
    code = code_digest(files, ("numpy", "pillow", "pyarrow"))
    rules, listing = source.rules(), source.listing(root)
    if rules.clusters is not None:
        raise ParamsError(
            f"source.clusters: must be null where data are prepared in partitions (partition.pictures: {mean}), got "
            f"{rules.clusters}; clusters are of all pictures together"
        )
    found = _classes_together(listing.found)
    labelled, attributes = bool(listing.classes), tuple(listing.attributes)  # `work` shall not hold the listing
    names = [picture.name for picture in found]
    parts = cuts(names, mean)
    return PartitionPlan(
        ids=partition_ids(names, parts),
        parts=[found[part] for part in parts],
        work=lambda store, alone: PicturePartition(rules, labelled, attributes, store, alone, code),
        spec=rules.spec(listing.classes, listing.attributes),
        found=len(found),
        ignored=listing.ignored,
        empty_folders=listing.empty,
        alike=first_alike if split.near_duplicates == "together" else None,
    )


@dataclass(frozen=True)
class PicturePartition:
    """The work on one partition. What it makes is kept under the digest of the pictures' bytes, names and classes, of
    the rules and of the code; so a partition of which nothing changed is read and not decoded."""

    rules: Rules
    labelled: bool
    attributes: tuple[str, ...]
    store: PartitionStore
    alone: bool
    code: str

    def __call__(self, pictures: Sequence[SourcePicture]) -> str:
        seen = [self._seen(found) for found in pictures]
        key = self._key(pictures, seen)
        key = f"{key}-alone" if self.alone else key  # of what a worker died on: the next run tries it again
        if self.store.find(key) is None:
            with self.store.adding(key) as folder:
                write_partition(folder, self._unchanged(pictures, seen), PictureRow, ".png", self.attributes)
        return key

    def _unchanged(self, pictures: Sequence[SourcePicture], seen: Sequence[Seen]) -> Iterator[Accepted | Rejected]:
        """What becomes of each picture, if its bytes are still those that the key was made of. A disk that failed once
        would else be remembered for ever."""
        for outcome, (before, _) in zip(self._outcomes(pictures), seen, strict=True):
            its_worker_died = self.alone and outcome.source_sha256 is None
            if outcome.source_sha256 != before and not its_worker_died:
                raise DataError(f"source.path: {outcome.name} changed while it was read; run prepare again")
            yield outcome

    def _outcomes(self, pictures: Sequence[SourcePicture]) -> Iterable[Accepted | Rejected]:
        if self.alone:
            return outcomes_of(pictures, self.rules, self.labelled, workers=1)
        return (outcome_of(found, self.rules, self.labelled) for found in pictures)

    def _seen(self, found: SourcePicture) -> Seen:
        try:
            return sha256_bytes(bytes_of(found.content, self.rules)), ""
        except DataError as error:
            return None, str(error)

    def _key(self, pictures: Sequence[SourcePicture], seen: Sequence[Seen]) -> str:
        described = [
            (found.name, found.class_name, found.split, dict(found.told), getattr(found.content, "shape", None), *each)
            for found, each in zip(pictures, seen, strict=True)
        ]
        return sha256_bytes(json_bytes([self.code, repr(self.rules), self.labelled, self.attributes, described]))


def _classes_together(found: Sequence[SourcePicture]) -> Sequence[SourcePicture]:
    """By the place in their class, where names begin with the class: else a partition would hold one class alone."""
    labelled = [picture for picture in found if picture.class_name is not None]
    if labelled and all(_place_in_class(picture) != picture.name for picture in labelled):
        return sorted(found, key=lambda picture: (_place_in_class(picture), picture.name))
    return found


def _place_in_class(picture: SourcePicture) -> str:
    """`2026-11/1.png` of `cat/2026-11/1.png`, and of `train/cat/2026-11/1.png`."""
    if picture.class_name is None:
        return picture.name
    head, found, place = picture.name.partition(f"{picture.class_name}/")
    return place if found and (not head or head.endswith("/")) else picture.name
