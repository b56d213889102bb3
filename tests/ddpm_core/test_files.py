"""A reader sees the old bytes or the new ones, also after a power cut: a file is on the disk before it has its name."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.files import (
    atomic_folder,
    atomic_path,
    atomic_write_bytes,
    atomic_write_json,
    json_bytes,
    sha256_bytes,
    sha256_file,
)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the system, in order: (flush, path) and (rename, path)."""
    asked: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        asked.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(source: Any, target: Any, **options: Any) -> None:
        asked.append(("rename", str(source)))
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    return asked


def test_a_file_is_flushed_then_renamed_then_its_folder_is_flushed(tmp_path: Path, done: list[tuple[str, str]]) -> None:
    atomic_write_bytes(tmp_path / "a", b"new")
    (_, temporary), *_ = done
    assert done == [("flush", temporary), ("rename", temporary), ("flush", str(tmp_path))]
    assert Path(temporary).parent == tmp_path  # a rename from another file system would be a copy
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_every_file_of_a_folder_is_flushed_before_it_is_renamed(tmp_path: Path, done: list[tuple[str, str]]) -> None:
    with atomic_folder(tmp_path / "made") as folder:
        (folder / "deep").mkdir()
        files = [folder / "a", folder / "deep" / "b"]
        for file in files:
            file.write_bytes(b"content")
    renamed = next(place for place, (what, path) in enumerate(done) if (what, path) == ("rename", str(folder)))
    before, after = {path for _, path in done[:renamed]}, {path for _, path in done[renamed + 1 :]}
    assert before >= {str(path) for path in (*files, folder, folder / "deep")}
    assert str(tmp_path) in after
    assert sorted(path.name for path in (tmp_path / "made").rglob("*")) == ["a", "b", "deep"]


@pytest.mark.parametrize("when", ["writing", "flushing", "renaming"])
def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    if when != "writing":
        monkeypatch.setattr(os, "fsync" if when == "flushing" else "replace", full)

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            if when == "writing":
                full()

    with pytest.raises(OSError, match="No space"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_while_a_folder_is_filled_and_where_that_fails_the_old_one_is_there(tmp_path: Path) -> None:
    place = tmp_path / "made"
    with atomic_folder(place) as folder:
        (folder / "a").write_bytes(b"old")

    def fill() -> None:
        with atomic_folder(place) as folder:
            (folder / "b").write_bytes(b"half")
            assert (place / "a").read_bytes() == b"old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["made", "made/a"]


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    place = tmp_path / "made"
    for name in ("first", "second"):
        with atomic_folder(place) as folder:
            (folder / name).write_bytes(b"x")
    assert [path.name for path in place.iterdir()] == ["second"]
    shutil.rmtree(place)


def test_the_digest_of_a_file_is_that_of_all_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than two of the pieces that it is read in
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_bytes(data)


def test_equal_values_have_one_text_and_what_is_no_number_none(tmp_path: Path) -> None:
    assert json_bytes({"b": 1, "a": "é"}) == json_bytes({"a": "é", "b": 1}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_write_json(tmp_path / "a", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
