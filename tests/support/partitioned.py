"""A project of pictures that are prepared and packed in partitions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ddpm_core.files import atomic_write_json
from pipelines.kinds.manifest import Manifest
from pipelines.paths import Paths
from pipelines.shards.archive import read_index
from tests.support.pictures import Project, png, write

CLASSES, EACH, MEAN = "ab", 60, 10


def files(first: int = 0, last: int = EACH) -> dict[str, bytes]:
    return {f"{c}/{number:04d}.png": png(100 * number + ord(c)) for c in CLASSES for number in range(first, last)}


def project_of(root: Path, pictures: dict[str, bytes], mean: int | None = MEAN) -> Project:
    root.mkdir(exist_ok=True)
    write(root / "raw", pictures)
    project = Project(root)
    project.paths = Paths(root.resolve(), root.resolve() / "home")
    project.examples, project.split = mean, replace(project.split, near_duplicates="ignore")
    return project


def packed(project: Project) -> dict[str, str]:
    """The shards by name, each with its digest."""
    atomic_write_json(project.paths.contract, {"passed": True})
    project.shard()
    index = read_index(project.paths.shards)
    return {shard.name: shard.sha256 for split in index.splits for shard in index.shards(split)}


def described(manifest: Manifest) -> set[tuple[Any, ...]]:
    return {
        (row.key, row.label, row.class_name, row.split, row.source, row.content_sha256, row.sha256, row.mean)
        for row in manifest.rows
    }
