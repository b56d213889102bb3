"""Stage shard: pack the prepared data into WebDataset shards with an index of digests."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ContractFailed
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import read_manifest
from pipelines.paths import Paths
from pipelines.runtime.progress import tracked
from pipelines.shards.archive import write_shards

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Pack every example of the manifest, in the order of the keys, which is no order of classes."""
    _check_contract(paths.contract)
    manifest = read_manifest(paths.manifest)
    manifest = kind_of(manifest.spec.kind).conditioned(manifest, paths.prepared)
    spec, splits = manifest.spec, {}
    for split in ("train", "test"):
        rows = manifest.of_split(split)
        examples = kind_of(spec.kind).examples(paths.prepared, rows, spec)
        splits[split] = tracked(examples, f"shard {split}", "examples", total=len(rows))
    index = write_shards(paths.shards, spec, splits, params.shard)
    for split in index.splits:
        log.info("%s: %d examples in %d shards", split, index.count(split), len(index.shards(split)))


def _check_contract(path: Path) -> None:
    """A record of refused data stays on disk after validate has failed; nothing may be built on it."""
    if not path.is_file() or not json.loads(path.read_text(encoding="utf-8"))["passed"]:
        raise ContractFailed(
            f"{path} must say that the data keep the contract, but it does not or is missing; `ddpm validate` tells why"
        )
