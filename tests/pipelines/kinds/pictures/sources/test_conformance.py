"""What holds for every source: the same pictures in every form give the same data, and every input is accounted for."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ddpm_core.errors import DataError
from pipelines.kinds.manifest import Manifest
from pipelines.kinds.pictures.rows.rules import Pixels
from pipelines.kinds.pictures.sources import EmbeddedDigits, Remote, Several, SourceConfig, Torchvision
from pipelines.kinds.pictures.sources.several import Classes
from pipelines.parsing import parse_kept
from tests.support.picture_sources import (
    HUGGING_FACE,
    PICTURES,
    SHARDS,
    TABLE,
    hugging_face_table,
    labelled_rows,
    save_parquet,
    save_to_disk,
    shard_members,
    tar_bytes,
)
from tests.support.pictures import FOLDER, Project, write

Make = Callable[[Path], Any]


def folder(root: Path) -> Any:
    write(root / "raw", PICTURES)
    return FOLDER


def zipped(root: Path) -> Any:
    with zipfile.ZipFile(root / "raw.zip", "w") as archive:
        for name, data in PICTURES.items():
            archive.writestr(name, data)
    return replace(FOLDER, path="raw.zip")


def tarred(ending: str) -> Make:
    def make(root: Path) -> Any:
        (root / f"raw.tar{ending}").write_bytes(tar_bytes(PICTURES, f"w:{ending[1:]}"))
        return replace(FOLDER, path=f"raw.tar{ending}")

    return make


def csv(root: Path) -> Any:
    lines = ["file,what", *(f"{name},{name.split('/')[0]}" for name in PICTURES)]
    write(root / "raw", {**PICTURES, "labels.csv": "\n".join(lines).encode()})
    return TABLE


def json_lines(root: Path) -> Any:
    lines = [json.dumps({"file": name, "what": name.split("/")[0]}) for name in PICTURES]
    write(root / "raw", {**PICTURES, "labels.jsonl": "\n".join(lines).encode()})
    return replace(TABLE, table="labels.jsonl")


def parquet_of_paths(root: Path) -> Any:
    import pyarrow as pa

    write(root / "raw", PICTURES)
    names = [name.split("/")[0] for name in PICTURES]
    save_parquet(root / "raw" / "labels.parquet", pa.table({"file": list(PICTURES), "what": names}))
    return replace(TABLE, table="labels.parquet")


def parquet_of_bytes(root: Path) -> Any:
    import pyarrow as pa

    names = [name.split("/")[0] for name in PICTURES]
    save_parquet(root / "raw" / "all.pq", pa.table({"picture": list(PICTURES.values()), "what": names}))
    return replace(TABLE, table="all.pq", picture_column="picture")


def hugging_face(root: Path) -> Any:
    names = ("cat", "dog")
    save_parquet(root / "raw" / "data" / "train-0.parquet", hugging_face_table(labelled_rows(names), names))
    return HUGGING_FACE


def saved_to_disk(root: Path) -> Any:
    names = ("cat", "dog")
    save_to_disk(root / "raw", hugging_face_table(labelled_rows(names), names))
    return HUGGING_FACE


def shards(root: Path) -> Any:
    members = list(shard_members().items())
    write(root / "raw", {"0.tar": tar_bytes(dict(members[:4])), "1.tar.gz": tar_bytes(dict(members[4:]), "w:gz")})
    return SHARDS


def several(root: Path) -> Any:
    write(root / "raw" / "a", {name: data for name, data in PICTURES.items() if name.startswith("cat")})
    write(root / "raw" / "b", {name: data for name, data in PICTURES.items() if name.startswith("dog")})
    return Several(
        "several", "raw", "refuse", Classes(None, {}), (replace(FOLDER, path="a"), replace(FOLDER, path="b"))
    )


def remote(root: Path) -> Any:
    MemoryFileSystem.store.clear()
    MemoryFileSystem().pipe("/conformance/raw.tar", tar_bytes(PICTURES))
    record = root / "remote.json"
    record.write_text(json.dumps({"url": "memory://conformance/raw.tar"}))
    source = Remote("remote", "remote.json", 1.0, replace(FOLDER, path="."))
    with pytest.raises(DataError) as error:
        source.listing(root)
    sha256 = str(error.value).split('"sha256": "')[1].split('"')[0]
    record.write_text(json.dumps({"url": "memory://conformance/raw.tar", "sha256": sha256}))
    return source


MAKERS: dict[str, Make] = {
    "folder": folder,
    "zip": zipped,
    "tar": tarred(""),
    "tar.gz": tarred(".gz"),
    "tar.xz": tarred(".xz"),
    "tar.bz2": tarred(".bz2"),
    "csv": csv,
    "jsonl": json_lines,
    "parquet of paths": parquet_of_paths,
    "parquet of bytes": parquet_of_bytes,
    "hugging face": hugging_face,
    "save_to_disk": saved_to_disk,
    "webdataset": shards,
    "several": several,
    "remote": remote,
}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDPM_HOME", raising=False)


def contents(manifest: Manifest) -> set[tuple[str, str, str, str]]:
    return {(row.key, row.class_name, row.content_sha256, row.split) for row in manifest.rows}


def test_every_source_is_here(tmp_path: Path) -> None:
    """The two sets of a fixed form have tests of their own."""
    made = set()
    for number, make in enumerate(MAKERS.values()):
        root = tmp_path / str(number)
        root.mkdir()
        made.add(type(make(root)))
    assert made == set(get_args(SourceConfig)) - {EmbeddedDigits, Torchvision}


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_pictures_give_the_same_data_and_every_input_is_accounted_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "as-folder").mkdir()
    expected = Project(tmp_path / "as-folder")
    expected.source = folder(tmp_path / "as-folder")
    (tmp_path / "here").mkdir()
    project = Project(tmp_path / "here")
    project.source = MAKERS[name](tmp_path / "here")
    manifest = project.prepare()
    assert contents(manifest) == contents(expected.prepare())
    assert manifest.spec.classes == ("cat", "dog")
    assert (manifest.counts.found, manifest.counts.accepted, manifest.counts.quarantined) == (5, 4, 1)
    assert list(project.reasons().values()) == list(expected.reasons().values())
    assert "not a picture" in next(iter(project.reasons().values()))


@pytest.mark.parametrize("name", MAKERS)
def test_a_listing_is_the_same_twice_and_names_no_input_twice(tmp_path: Path, name: str) -> None:
    source = MAKERS[name](tmp_path)
    first, second = source.listing(tmp_path), source.listing(tmp_path)
    assert first == second
    names = [found.name for found in first.found]
    assert len(set(names)) == len(names) == 5
    assert source.facts().model_name.startswith("ddpm-")


@pytest.mark.parametrize("name", MAKERS)
def test_no_more_is_read_of_a_picture_than_is_allowed(tmp_path: Path, name: str) -> None:
    source = MAKERS[name](tmp_path)
    for found in source.listing(tmp_path).found:
        assert not isinstance(found.content, Pixels)
        with pytest.raises(DataError, match="more than the 5 that max_megabytes allows"):
            found.content.read(5)


@pytest.mark.parametrize("name", MAKERS)
def test_a_source_is_the_same_when_it_is_read_from_params(tmp_path: Path, name: str) -> None:
    source = MAKERS[name](tmp_path)
    assert parse_kept(SourceConfig, json.loads(json.dumps(asdict(source))), "source") == source


@pytest.mark.parametrize("name", MAKERS)
def test_a_source_that_is_not_there_is_told_with_its_key(tmp_path: Path, name: str) -> None:
    source = MAKERS[name](tmp_path)
    for entry in tmp_path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with pytest.raises(DataError, match=r"^source\.(path|table): "):
        source.listing(tmp_path)
