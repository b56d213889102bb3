"""Stage prepare: read the source; write the prepared data, the manifest and the quarantine."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import DataError
from ddpm_core.files import atomic_folder
from pipelines.kinds import kind_of
from pipelines.kinds.facts import write_facts
from pipelines.kinds.manifest import Counts, write_manifest
from pipelines.kinds.quarantine import Rejected, write_quarantine
from pipelines.paths import Paths

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Read the source, write data/prepared, data/manifest.parquet, data/source.json and data/quarantine."""
    kind_of(params.kind).check_source(params.source, paths.root)
    with atomic_folder(paths.prepared) as folder, atomic_folder(paths.quarantine) as quarantine:
        mean = params.partition.pictures
        outcome = _whole(params, paths, folder) if mean is None else _in_partitions(params, paths, folder, mean)
        counts, rejected, empty_folders = outcome
        write_quarantine(quarantine, rejected)
    write_facts(paths.source_facts, params.source.facts())
    for name in empty_folders:
        log.warning("class folder %s holds no example, so it is no class of the data", name)
    for each in rejected[:10]:
        log.warning("quarantined %s: %s", each.name, each.reason)
    log.info(
        "%d found = %d accepted + %d quarantined (data/quarantine/quarantine.jsonl says why)",
        counts.found,
        counts.accepted,
        counts.quarantined,
    )


Outcome = tuple[Counts, Sequence[Rejected], Sequence[str]]  # and the class folders without an example


def _whole(params: "Params", paths: Paths, folder: Path) -> Outcome:
    """All in one piece, a file an example."""
    kind, workers = kind_of(params.kind), max(1, params.runtime.workers)
    prepared = kind.prepare(params.source, params.split, folder, paths.root, workers)
    manifest = prepared.manifest
    _check_some(params, manifest.counts, prepared.rejected)
    write_manifest(paths.manifest, manifest)
    return manifest.counts, prepared.rejected, manifest.empty_folders


def _in_partitions(params: "Params", paths: Paths, folder: Path, mean: int) -> Outcome:
    """A tar a partition. Those that were finished before, by a killed run or with older data, are not done again."""
    from pipelines.kinds.partitioned import assemble, counted
    from pipelines.partitions.runner import Runner
    from pipelines.partitions.store import open_store
    from pipelines.runtime.worker_pool import Died

    kind, runtime = kind_of(params.kind), params.runtime
    runner = Runner(runtime.runner, max(1, runtime.workers), paths.home)
    plan = kind.partition_plan(params.source, params.split, paths.root, mean)
    log.info(
        "found %d examples in %d partitions, %d other files left out by rule", plan.found, len(plan.parts), plan.ignored
    )
    with open_store(paths.partitions / "prepare") as (store, used):
        before = store.keys()
        keys = []
        for part, key in zip(plan.parts, runner.map(plan.work(store, False), plan.parts, "prepare"), strict=True):
            keys.append(plan.work(store, True)(part) if isinstance(key, Died) else key)
        log.info("%d of %d partitions were done before", len(before & set(keys)), len(keys))
        used.update(keys)
        plan = replace(plan, parts=())  # the pictures' names, of which there may be very many
        parts = {name: store.folder / key for name, key in zip(plan.ids, keys, strict=True)}
        counts, rejected = counted(parts.values())
        _check_some(params, counts, rejected)
        assemble(parts, folder, paths.manifest, kind.row_type(), plan, counts, params.split)
    return counts, rejected, plan.empty_folders


def _check_some(params: "Params", counts: Counts, rejected: Sequence[Rejected]) -> None:
    if not counts.accepted:
        first = f"; the first: {rejected[0].name}: {rejected[0].reason}" if rejected else ""
        raise DataError(
            f"source.path: {params.source.path} must hold at least one example that can be used, but all "
            f"{len(rejected)} were refused{first}"
        )
