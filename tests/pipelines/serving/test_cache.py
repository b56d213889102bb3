"""Bundles of followed models on the disk: verified when they are read, and only a few are kept."""

from pathlib import Path

from ddpm_core.bundle.format import MODEL_FILE, read_bundle
from pipelines.serving.sources import Cache, FolderSource
from tests.support.tiny_bundle import tiny_bundle


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b")
    source, cache = FolderSource(tmp_path / "b"), Cache(tmp_path / "cache")
    offer = source.look()
    cache.bundle(offer, source)
    (tmp_path / "cache" / offer.digest / MODEL_FILE).write_bytes(b"x")
    assert cache.bundle(offer, source).digest == offer.digest
    assert read_bundle(tmp_path / "cache" / offer.digest).digest == offer.digest


def test_the_cache_keeps_a_few_of_the_last_versions(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for number in range(7):
        source = FolderSource(tmp_path / "b")
        tiny_bundle(tmp_path / "b", provenance={"number": number})
        last = cache.bundle(source.look(), source)
    kept = [each.name for each in (tmp_path / "cache").iterdir()]
    assert last.digest in kept
    assert len(kept) == 4
