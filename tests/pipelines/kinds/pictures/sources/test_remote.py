"""Pictures behind a URL: copied once under their digest, refused where the bytes are others or change under way."""

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ddpm_core.errors import DataError, ParamsError, Unreachable
from pipelines.kinds.pictures.sources import Remote, remote
from pipelines.kinds.pictures.sources.remote import fetch
from tests.support.picture_sources import TABLE
from tests.support.pictures import FOLDER, Project, png

SOURCE = Remote("remote", "remote.json", 0.001, replace(FOLDER, path="."))
URL = "memory://bucket/set"
FILES = {"cat/1.png": png(1), "dog/2.png": png(2), "dog/3.png": b"broken"}


@pytest.fixture(autouse=True)
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    monkeypatch.delenv("DDPM_HOME", raising=False)
    MemoryFileSystem.store.clear()
    memory = MemoryFileSystem()
    for name, data in FILES.items():
        memory.pipe(f"/bucket/set/{name}", data)
    yield memory
    MemoryFileSystem.store.clear()


def record(tmp_path: Path, **values: Any) -> None:
    (tmp_path / "remote.json").write_text(json.dumps({"url": URL, **values}))


def digest(tmp_path: Path, url: str = URL) -> str:
    return fetch(url, tmp_path / "elsewhere", 1_000_000, None)


def test_a_folder_behind_a_url_is_prepared_and_then_needs_no_network(tmp_path: Path, system: MemoryFileSystem) -> None:
    record(tmp_path, sha256=digest(tmp_path))
    project = Project(tmp_path)
    project.source = SOURCE
    first = project.prepare()
    assert {row.source: row.class_name for row in first.rows} == {"cat/1.png": "cat", "dog/2.png": "dog"}
    assert list(project.reasons()) == ["dog/3.png"]
    system.rm("/bucket", recursive=True)
    assert project.prepare() == first


def test_the_digest_must_be_told_and_the_message_has_it(tmp_path: Path) -> None:
    record(tmp_path)
    with pytest.raises(DataError, match=f'if {URL} is as it should be now, add "sha256": "{digest(tmp_path)}"'):
        SOURCE.listing(tmp_path)


def test_a_full_disk_is_no_fault_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unreachable is tried again, and a disk stays full."""

    def full(*_given: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote, "_copy_file", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        digest(tmp_path)
    assert raised.value.filename == str(tmp_path / "elsewhere" / "fetched")


def test_other_bytes_than_the_record_says_are_refused(tmp_path: Path, system: MemoryFileSystem) -> None:
    record(tmp_path, sha256=(before := digest(tmp_path)))
    system.pipe("/bucket/set/dog/2.png", png(7))
    with pytest.raises(DataError, match=f"must have the SHA-256 {before} of the record, but what came has "):
        SOURCE.listing(tmp_path)
    assert list((tmp_path / ".ddpm" / "sources").iterdir()) == []


def test_a_copy_that_was_damaged_is_made_again(tmp_path: Path) -> None:
    record(tmp_path, sha256=(sha256 := digest(tmp_path)))
    listing = SOURCE.listing(tmp_path)
    copy = tmp_path / ".ddpm" / "sources" / sha256 / "cat" / "1.png"
    copy.write_bytes(b"other")
    assert SOURCE.listing(tmp_path) == listing
    assert copy.read_bytes() == FILES["cat/1.png"]


def test_bytes_that_change_while_they_are_copied_are_refused(
    tmp_path: Path, system: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = MemoryFileSystem.open

    def changing(self: MemoryFileSystem, path: str, *rest: Any, **more: Any) -> Any:
        file = opened(self, path, *rest, **more)
        if path.endswith("dog/2.png") and rest == ("rb",):
            system.pipe("/bucket/set/cat/1.png", png(8, side=20))
        return file

    monkeypatch.setattr(MemoryFileSystem, "open", changing)
    with pytest.raises(DataError, match=r"must not change while it is copied, but /bucket/set/cat/1\.png did"):
        digest(tmp_path)


def test_a_url_of_a_table_in_a_folder_and_one_of_file(tmp_path: Path, system: MemoryFileSystem) -> None:
    system.pipe("/bucket/set/labels.csv", b"file,what\ncat/1.png,x\ndog/2.png,y\n")
    record(tmp_path, sha256=digest(tmp_path))
    assert replace(SOURCE, read_as=replace(TABLE, path=".")).listing(tmp_path).classes == ("x", "y")
    (tmp_path / "local" / "a").mkdir(parents=True)
    (tmp_path / "local" / "a" / "1.png").write_bytes(png(1))
    url = f"file://{tmp_path / 'local'}"
    record(tmp_path, url=url, sha256=digest(tmp_path, url))
    assert [found.name for found in SOURCE.listing(tmp_path).found] == ["a/1.png"]


def test_more_than_is_allowed_is_not_copied(tmp_path: Path, system: MemoryFileSystem) -> None:
    system.pipe("/bucket/set/large.png", bytes(2_000_000))
    record(tmp_path)
    with pytest.raises(DataError, match=r"source\.max_gigabytes: .* must not be larger"):
        SOURCE.listing(tmp_path)


def test_names_that_lead_out_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"/bucket/set/../../out.png": {"size": 1}}
    monkeypatch.setattr(MemoryFileSystem, "find", lambda self, path, detail: found)
    with pytest.raises(DataError, match=r"every name below .* must lie inside of it"):
        digest(tmp_path)


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("memory://nothing", DataError, "must name a file or a folder with files, but there is none"),
        ("nosuchprotocol://x", DataError, "must be a URL that fsspec knows"),
    ],
)
def test_a_url_that_leads_nowhere_is_told(tmp_path: Path, url: str, error: type[DataError], message: str) -> None:
    record(tmp_path, url=url)
    with pytest.raises(error, match=message):
        SOURCE.listing(tmp_path)


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    record(tmp_path, url="s3://bucket/set")
    with pytest.raises(DataError, match=r"s3://bucket/set needs a package .*Install s3fs to access S3; install it"):
        SOURCE.listing(tmp_path)


def test_a_store_that_does_not_answer_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(self: MemoryFileSystem, path: str, **rest: Any) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(MemoryFileSystem, "find", silent)
    record(tmp_path)
    with pytest.raises(Unreachable, match=r"must be readable, but: TimeoutError\('no answer'\)"):
        SOURCE.listing(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 3}', '{"url": "memory://x", "sha256": "abc"}'])
def test_a_record_that_says_nothing_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "remote.json").write_text(text)
    with pytest.raises(DataError, match=r"source\.path: .*remote\.json must (be a JSON file with|have a text) url"):
        SOURCE.listing(tmp_path)


@pytest.mark.parametrize("path", ["/etc", "../x"])
def test_the_path_inside_must_stay_inside(path: str) -> None:
    with pytest.raises(ParamsError, match=r"read_as\.path: must be a path inside"):
        Remote("remote", "remote.json", 1.0, replace(FOLDER, path=path))
