"""Partitions in worker processes: what a picture that ends a process costs, and the same bytes as in this process."""

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.kinds.manifest import read_manifest
from pipelines.kinds.pictures.rows.rules import File, Listing, SourcePicture
from pipelines.stages import prepare
from tests.support.partitioned import described, files, project_of


@dataclass(frozen=True)
class Deadly(File):
    """A picture that ends every worker process that touches it."""

    def read(self, limit: int) -> bytes:
        if multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().read(limit)


@dataclass(frozen=True)
class DeadlySource:
    """A folder's pictures, one of them deadly."""

    folder: Any
    path: str = "raw"

    def rules(self) -> Any:
        return self.folder.rules()

    def facts(self) -> Any:
        return self.folder.facts()

    def listing(self, root: Path) -> Listing:
        listing = self.folder.listing(root)
        found = [self._deadly(each) if each.name == "a/0003.png" else each for each in listing.found]
        return Listing(found, listing.classes, listing.ignored)

    def _deadly(self, found: SourcePicture) -> SourcePicture:
        assert isinstance(found.content, File)
        content = Deadly(found.content.path, found.content.within)
        return SourcePicture(found.name, found.class_name, content, found.split)


def test_a_picture_that_kills_its_worker_costs_itself_alone(tmp_path: Path) -> None:
    project = project_of(tmp_path, files(0, 12), 1_000)
    project.source = DeadlySource(project.source)
    manifest = project.prepare()
    assert (manifest.counts.accepted, manifest.counts.quarantined) == (23, 1)
    assert project.reasons() == {"a/0003.png": "the process that decoded it died"}


def test_workers_give_what_this_process_gives(tmp_path: Path) -> None:
    project = project_of(tmp_path, files(0, 20))
    params = project.params
    params.runtime.workers = 2
    prepare.run(params, project.paths, None)  # type: ignore[arg-type]
    rows = described(read_manifest(project.paths.manifest))
    whole = project_of(tmp_path / "whole", files(0, 20), None)
    assert described(whole.prepare()) == rows
