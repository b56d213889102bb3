"""Stage shard: pack the prepared data into WebDataset shards with an index of digests."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ContractFailed, IntegrityError
from ddpm_core.files import atomic_folder
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Manifest, read_manifest
from pipelines.partitions.runner import Runner
from pipelines.partitions.store import open_store, place_file
from pipelines.paths import Paths
from pipelines.runtime.progress import tracked
from pipelines.runtime.worker_pool import Died
from pipelines.shards.archive import ShardIndex, read_index, write_index, write_shards

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Pack every example of the manifest, in the order of the keys, which is no order of classes."""
    _check_contract(paths.contract)
    manifest = read_manifest(paths.manifest)
    manifest = kind_of(manifest.spec.kind).conditioned(manifest, paths.prepared)
    index = (_in_partitions if manifest.partitions else _whole)(params, paths, manifest)
    for split in index.splits:
        log.info("%s: %d examples in %d shards", split, index.count(split), len(index.shards(split)))


def _whole(params: "Params", paths: Paths, manifest: Manifest) -> ShardIndex:
    """All in one piece."""
    spec, splits = manifest.spec, {}
    for split in ("train", "test"):
        rows = manifest.of_split(split)
        examples = kind_of(spec.kind).examples(paths.prepared, rows, spec)
        splits[split] = tracked(examples, f"shard {split}", "examples", total=len(rows))
    return write_shards(paths.shards, spec, splits, params.shard)


def _in_partitions(params: "Params", paths: Paths, manifest: Manifest) -> ShardIndex:
    """Each partition in shards of its own: those of partitions that did not change stay as they are."""
    from pipelines.kinds.partitioned_shards import LISTED, PartitionShards, code_of

    runtime, spec = params.runtime, manifest.spec
    runner = Runner(runtime.runner, max(1, runtime.workers), paths.home)
    with open_store(paths.partitions / "shard") as (store, used), atomic_folder(paths.shards) as folder:
        before = store.keys()
        work = PartitionShards(paths.manifest, paths.prepared, spec, params.shard, store, code_of(spec))
        packed = dict(zip(manifest.partitions, runner.map(work, manifest.partitions, "shard"), strict=True))
        if lost := [name for name, result in packed.items() if isinstance(result, Died)]:
            again = Runner("local", 1, paths.home).map(work, lost, "shard again")  # Dask loses what waited too
            packed.update(zip(lost, again, strict=True))
        listed: dict[str, list[dict[str, object]]] = {"test": [], "train": []}
        classes = 0
        for name, result in sorted(packed.items()):
            if isinstance(result, Died):
                raise IntegrityError(
                    f"partition {name}: the process that packed it died (exit code {result.exit_code})"
                )
            used.add(result.key)
            classes += result.classes
            for split, shards in json.loads((store.folder / result.key / LISTED).read_bytes()).items():
                for shard in shards:
                    own = shard["name"].replace(split, f"{split}-{name}")
                    place_file(store.folder / result.key / shard["name"], folder / own)
                    listed[split].append({**shard, "name": own})
        write_index(folder, spec, params.shard, listed)
        log.info("%d of %d partitions were packed before", len(before & used), len(packed))
    index = read_index(paths.shards)
    _warn_of_classes_apart(index, classes / len(packed))
    return index


def _warn_of_classes_apart(index: ShardIndex, classes: float) -> None:
    """Training's shuffle mixes what it holds in memory, and no more."""
    most = len(index.spec.classes)
    if most > 1 and classes < most / 2 and index.count("train") > index.shuffle_examples:
        log.warning(
            "a partition has examples of %.1f of the %d classes on the average, and training shuffles %d of the %d "
            "examples at a time (shard.shuffle_examples): raise it, or give pictures names that do not begin with "
            "their class, so that batches have all classes",
            classes,
            most,
            index.shuffle_examples,
            index.count("train"),
        )


def _check_contract(path: Path) -> None:
    """A record of refused data stays on disk after validate has failed; nothing may be built on it."""
    if not path.is_file() or not json.loads(path.read_text(encoding="utf-8"))["passed"]:
        raise ContractFailed(
            f"{path} must say that the data keep the contract, but it does not or is missing; `ddpm validate` tells why"
        )
