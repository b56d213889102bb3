"""A reader sees the old bytes or the new ones, also after a power cut: a file is on the disk before it has its name."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ddpm_core import files
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
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def killed_after(call: Any) -> Any:
    """The call, after which the process is killed."""

    def killed(*words: Any, **options: Any) -> None:
        call(*words, **options)
        raise KeyboardInterrupt

    return killed


def write(place: Path, name: str) -> None:
    with atomic_folder(place) as folder:
        (folder / name).write_bytes(b"x")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("exchanges", [True, False])
def test_nothing_of_the_old_folder_is_removed_before_the_new_one_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    place = tmp_path / "made"
    write(place, "first")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed_after(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            write(place, "second")
    assert names(place) == ["second"]
    write(place, "third")
    assert (names(place), names(tmp_path)) == (["third"], ["made"])


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    place, replace = tmp_path / "made", os.replace
    write(place, "first")

    def full(source: Path, target: Path) -> None:
        if target == place and ".old." not in source.name:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write(place, "second")
    assert (names(place), names(tmp_path)) == (["first"], ["made"])


def test_what_a_killed_process_left_is_removed_by_the_next_write_of_that_folder_and_what_lives_stays(
    tmp_path: Path,
) -> None:
    place = tmp_path / "made"
    for dead in (".made.abcd1234.part", ".made.abcd1234.old.part"):
        (tmp_path / dead / "deep").mkdir(parents=True)
    others = [".made.more.abcd1234.part", ".other.abcd1234.part", "made.abcd1234.part"]
    for other in others:
        (tmp_path / other).mkdir()
    with atomic_folder(place) as living:
        write(place, "first")
        assert names(tmp_path) == sorted([*others, living.name, "made"])
        (living / "second").write_bytes(b"x")
    assert (names(place), names(tmp_path)) == (["second"], sorted([*others, "made"]))


def test_what_was_put_aside_stays_until_a_new_folder_is_in_place(tmp_path: Path) -> None:
    """After a kill between two renames it may be all that is left."""
    aside = tmp_path / ".made.abcd1234.old.part"
    aside.mkdir()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "made"):
        raise ZeroDivisionError
    assert aside.is_dir()


def test_a_link_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "made").symlink_to(tmp_path / "there")
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "made", "first")
    assert (names(tmp_path / "there"), names(tmp_path)) == ([], ["made", "there"])


def test_the_digest_of_a_file_is_that_of_all_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than two of the pieces that it is read in
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_bytes(data)


def test_equal_values_have_one_text_and_what_is_no_number_none(tmp_path: Path) -> None:
    assert json_bytes({"b": 1, "a": "é"}) == json_bytes({"a": "é", "b": 1}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_write_json(tmp_path / "a", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
