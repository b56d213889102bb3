"""Small models behind one service: bundles that differ, a folder that is watched, and what of a version a sample is."""

import shutil
from dataclasses import replace
from pathlib import Path

from ddpm_core.bundle.format import Bundle, read_bundle
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.follow import Follower
from pipelines.serving.hosted import Models
from pipelines.serving.service import Limits, Service
from pipelines.serving.sources import FolderSource
from pipelines.serving.start import Hosting
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec

MANY = Limits(cost=1000, waiting=64, at_once=1, seconds=30.0, body_bytes=4096)


def versions(folder: Path, count: int) -> list[Path]:
    """Bundles of the same shape and other weights, each with a golden sample."""
    folders = [folder / f"version-{seed}" for seed in range(count)]
    for seed, each in enumerate(folders):
        tiny_bundle(each, model=tiny_graph(tiny_spec(), seed=seed), golden=True)
    return folders


def put(version: Path, folder: Path) -> None:
    """Replace what lies in a folder, as an export does."""
    temporary = folder.with_name(f"{folder.name}.new")
    shutil.copytree(version, temporary)
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)


def wrong_golden(folder: Path, version: Path) -> Path:
    """A bundle whose bytes are whole and whose golden sample is another network's."""
    bundle = read_bundle(version)
    assert bundle.golden is not None
    values = tuple(255 - value for value in bundle.golden.values)
    replace(bundle, golden=replace(bundle.golden, sha256="0" * 64, values=values, tolerance=0.5)).write(folder)
    return folder


def service_of(bundle: Bundle, limits: Limits = MANY) -> Service:
    return Service(Sampler(bundle, "cpu"), limits)


def following(folder: Path, cache: Path, name: str = "tiny") -> tuple[Models, Follower]:
    """A service with one model, which follows a folder; `look` is called by the test."""
    follower = Follower(name, FolderSource(folder), cache, service_of)
    models = Models(MANY.waiting, MANY.at_once)
    models.add(name, follower.first())
    return models, follower


def hosting(cache: Path, most_loaded: int | None = None, look_seconds: float = 60.0) -> Hosting:
    return Hosting("cpu", 1, most_loaded, cache, look_seconds)
