"""Stage prepare: read the source; write the prepared data, the manifest and the quarantine."""

import logging
from typing import TYPE_CHECKING

from ddpm_core.errors import DataError
from ddpm_core.files import atomic_folder
from pipelines.kinds import kind_of
from pipelines.kinds.facts import write_facts
from pipelines.kinds.manifest import write_manifest
from pipelines.kinds.quarantine import write_quarantine
from pipelines.paths import Paths

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Read the source, write data/prepared, data/manifest.parquet, data/source.json and data/quarantine."""
    kind, workers = kind_of(params.kind), max(1, params.runtime.workers)
    with atomic_folder(paths.prepared) as folder, atomic_folder(paths.quarantine) as quarantine:
        prepared = kind.prepare(params.source, params.split, folder, paths.root, workers)
        manifest, rejected = prepared.manifest, prepared.rejected
        if not manifest.rows:
            first = f"; the first: {rejected[0].name}: {rejected[0].reason}" if rejected else ""
            raise DataError(
                f"source.path: {params.source.path} must hold at least one example that can be used, but all "
                f"{len(rejected)} were refused{first}"
            )
        write_quarantine(quarantine, rejected)
    write_manifest(paths.manifest, manifest)
    write_facts(paths.source_facts, params.source.facts())
    for name in manifest.empty_folders:
        log.warning("class folder %s holds no example, so it is no class of the data", name)
    for each in rejected[:10]:
        log.warning("quarantined %s: %s", each.name, each.reason)
    log.info(
        "%d found = %d accepted + %d quarantined (data/quarantine/quarantine.jsonl says why)",
        manifest.counts.found,
        manifest.counts.accepted,
        manifest.counts.quarantined,
    )
