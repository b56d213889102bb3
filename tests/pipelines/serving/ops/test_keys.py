"""API keys: what the file holds, what is refused, how a rate is kept, and `ddpm keys`."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import ParamsError
from pipelines.cli import main
from pipelines.serving.ops import keys
from pipelines.serving.ops.keys import Key, KeyRing, read_keys, write_keys


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add(file: Path, name: str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert main(["keys", "add", name, "--file", str(file), *options]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_shown_once_and_the_file_holds_only_a_salted_hash(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = add(file, "ann", capsys), add(file, "bob", capsys, "--rate", "2", "--burst", "3")
    assert len(first) >= 40
    assert first != second
    text = file.read_text()
    assert first not in text
    assert second not in text
    assert file.stat().st_mode & 0o777 == 0o600
    ann, bob = read_keys(file)
    assert ann.salt != bob.salt
    assert (bob.rate, bob.burst, bob.only) == (2.0, 3, None)
    ring = KeyRing(file)
    assert (ring.find(first.encode()), ring.find(second.encode())) == (ann, bob)
    for wrong in (
        b"",
        first[:-1].encode(),
        (first + "x").encode(),
        first.upper().encode(),
        b"\xff\xfe",
        ann.sha256.encode(),
    ):
        assert ring.find(wrong) is None


def test_the_file_is_at_no_time_readable_by_others(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, modes = os.replace, []

    def looked_at(source: Path, target: Path) -> None:
        modes.append(source.stat().st_mode & 0o777)
        replace(source, target)

    monkeypatch.setattr(os, "replace", looked_at)
    write_keys(file, [])
    assert modes == [0o600]


@pytest.mark.parametrize("words", [["add", "bob"], ["remove", "ann"]])
def test_a_change_holds_the_lock_from_reading_to_writing(
    file: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So of two changes at once none is lost."""
    add(file, "ann", capsys)
    seen: list[str] = []

    def locked(call: Any) -> Any:
        def checked(*given: Any) -> Any:
            with (file.parent / ".keys.json.lock").open() as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(call.__name__)
            return call(*given)

        return checked

    for call in (read_keys, write_keys):
        monkeypatch.setattr(keys, call.__name__, locked(call))
    assert main(["keys", *words, "--file", str(file)]) == 0
    assert seen == ["read_keys", "write_keys"]


def test_keys_are_listed_and_removed_by_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(file, "ann", capsys)
    add(file, "prometheus", capsys, "--only", "metrics", "--rate", "0.5")
    assert main(["keys", "list", "--file", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ann: no limit",
        "prometheus: 0.5 requests a second, 10 at once; metrics only",
    ]
    assert main(["keys", "remove", "ann", "--file", str(file)]) == 0
    assert [key.name for key in read_keys(file)] == ["prometheus"]


@pytest.mark.parametrize(
    "words",
    [
        ["add", "ann"],  # there already
        ["add", "a b"],
        ["add", ""],
        ["add", "x", "--rate", "0"],
        ["add", "x", "--rate", "inf"],
        ["add", "x", "--rate", "nan"],
        ["add", "x", "--burst", "0"],
        ["remove", "bob"],
    ],
)
def test_what_cannot_be_done_leaves_the_file_as_it_is(
    file: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    add(file, "ann", capsys)
    before = file.read_bytes()
    assert main(["keys", *words, "--file", str(file)]) == 2
    assert file.read_bytes() == before
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "readable JSON"),
        ("[]", "mapping"),
        ('{"format": 2, "keys": []}', "format: must be 1|format: must be one of 1"),
        ('{"format": 1, "keys": [{"name": "a"}]}', r"keys\[0\]\.sha256: missing"),
        ('{"format": 1, "keys": [], "more": 1}', "more: unknown key"),
    ],
)
def test_a_faulty_file_is_told(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ParamsError, match=message):
        KeyRing(file)


def test_names_stand_once(file: Path) -> None:
    key, _ = Key.new("ann", None, 1, None)
    write_keys(file, [key, key])
    with pytest.raises(ParamsError, match="'ann'"):
        read_keys(file)


def test_the_file_is_read_again_when_it_changes_and_a_faulty_one_changes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = add(file, "ann", capsys)
    ring = KeyRing(file)
    second = add(file, "bob", capsys)
    assert ring.find(second.encode()) is not None
    main(["keys", "remove", "ann", "--file", str(file)])
    assert ring.find(first.encode()) is None
    file.write_text("{")
    capsys.readouterr()
    for _ in range(3):
        assert ring.find(second.encode()) is not None
    assert capsys.readouterr().err.count("error: API keys: ") == 1
    os.remove(file)
    assert ring.find(second.encode()) is not None
    write_keys(file, [])
    assert ring.find(second.encode()) is None


def test_a_rate_allows_its_burst_and_then_as_many_as_time_brings(file: Path) -> None:
    keys = [Key.new("slow", 0.5, 3, None)[0], Key.new("other", 0.5, 1, None)[0], Key.new("free", None, 1, None)[0]]
    write_keys(file, keys)
    clock = Clock()
    ring = KeyRing(file, clock)
    slow, other, free = keys
    assert [ring.wait(slow) for _ in range(5)] == [0, 0, 0, 2, 2]  # who is refused waits no longer for it
    assert ring.wait(other) == 0  # each key has a bucket of its own
    clock.now += 1
    assert ring.wait(slow) == 1
    clock.now += 1
    assert [ring.wait(slow) for _ in range(2)] == [0, 2]
    clock.now += 1000  # never more than the burst
    assert [ring.wait(slow) for _ in range(4)] == [0, 0, 0, 2]
    assert [ring.wait(free) for _ in range(1000)] == [0] * 1000


def test_reading_the_file_again_fills_no_bucket(file: Path) -> None:
    key, _ = Key.new("slow", 1, 1, None)
    write_keys(file, [key])
    ring = KeyRing(file, Clock())
    assert ring.wait(key) == 0
    write_keys(file, [key, Key.new("new", None, 1, None)[0]])
    ring.find(b"")
    assert ring.wait(key) == 1


def test_the_file_says_its_format(file: Path) -> None:
    write_keys(file, [])
    assert json.loads(file.read_text()) == {"format": 1, "keys": []}
