"""Stage shard: the prepared pictures become WebDataset tars with an index of digests."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ContractFailed, IntegrityError
from ddpm_core.files import sha256_bytes
from pipelines.kinds.pictures.decode import decode_png
from pipelines.kinds.pictures.manifest import Row, read_manifest
from pipelines.paths import Paths
from pipelines.runtime.progress import tracked
from pipelines.shards.archive import Sample, write_shards

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Pack every picture of the manifest, in the order of the keys, which is no order of classes."""
    _check_contract(paths.contract)
    manifest = read_manifest(paths.manifest)
    splits = {split: _samples(paths.images, manifest.of_split(split), split) for split in ("train", "test")}
    index = write_shards(paths.shards, manifest.spec, splits, params.shard)
    for split in index.splits:
        log.info("%s: %d pictures in %d shards", split, index.count(split), len(index.shards(split)))


def _check_contract(path: Path) -> None:
    """A record of refused data stays on disk after validate has failed; nothing may be built on it."""
    if not path.is_file() or not json.loads(path.read_text(encoding="utf-8"))["passed"]:
        raise ContractFailed(
            f"{path} must say that the data keep the contract, but it does not or is missing; `ddpm validate` tells why"
        )


def _samples(images: Path, rows: Sequence[Row], split: str) -> Iterator[Sample]:
    for row in tracked(rows, f"shard {split}", "pictures", total=len(rows)):
        path = images / row.path
        if not path.is_file():
            raise IntegrityError(f"{path}: the manifest lists this picture, but the file is missing; {_MEND}")
        data = path.read_bytes()
        found = sha256_bytes(data)
        if found != row.sha256:
            raise IntegrityError(
                f"{path}: its SHA-256 must be {row.sha256}, as the manifest says, but it is {found}; {_MEND}"
            )
        yield Sample(key=row.key, image=decode_png(data), label=row.label)


_MEND = "`dvc checkout --force data/images` brings the recorded bytes back; `ddpm prepare` writes them anew"
