"""The forger of forgeries.py: single changes of the files that a run left behind, drawn by a seed, and taken back."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipelines.params import read_yaml

TARGETS = ("metrics", "record", "gate", "bundle", "samples", "params", "lock")
_PLACES = {
    "metrics": "out/metrics.json",
    "record": "out/record.json",
    "gate": "out/gate.json",
    "params": "params.yaml",
    "lock": "dvc.lock",
}

Leaf = tuple[Any, Any]  # a mapping or a list, and a key or a place in it


class NoChange(Exception):
    """This change would leave everything as it is; another one is drawn."""


@dataclass(frozen=True)
class Forgery:
    """A change that was made, by what it is and to which file."""

    target: str
    file: str
    what: str


class Forger:
    """Changes the files of a project, one at a time; `other` holds those of another run under the same names."""

    def __init__(self, root: Path, other: Path, seed: int) -> None:
        self._root, self._other = root, other
        self._rng = random.Random(seed)

    @contextmanager
    def forged(self, target: str) -> Iterator[Forgery]:
        """One change of a file of this kind, which goes when the block ends."""
        folder = self._root / "out" / target
        place = folder if target in ("bundle", "samples") else self._root / _PLACES[target]
        kept = _kept(place)
        try:
            yield self._change(target, place)
        finally:
            _put_back(place, kept)

    def _change(self, target: str, place: Path) -> Forgery:
        while True:
            file = self._rng.choice(sorted(place.iterdir())) if place.is_dir() else place
            ways = [*_WAYS_OF_ANY, *(_WAYS_OF_FOLDERS if place.is_dir() else [])]
            ways += _WAYS_OF_JSON if file.suffix == ".json" else []
            if target in ("params", "lock"):
                ways = [*_WAYS_OF_YAML, *(_WAYS_OF_LOCK if target == "lock" else [])]
            what = self._rng.choice(ways)
            before = file.stat()
            try:
                changed = getattr(self, f"_{what}")(file)
            except (NoChange, IndexError, ValueError):  # nothing there to change so
                continue
            if changed.exists():
                os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
            return Forgery(target, changed.relative_to(self._root).as_posix(), what)

    # ---- of any file

    def _flip_a_byte(self, file: Path) -> Path:
        data = bytearray(file.read_bytes())
        data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        return _written(file, bytes(data))

    def _change_a_digit(self, file: Path) -> Path:
        data = bytearray(file.read_bytes())
        places = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
        if file.suffix not in (".json", ".csv") or not places:
            raise NoChange
        place = self._rng.choice(places)
        data[place] = self._rng.choice([digit for digit in range(48, 58) if digit != data[place]])
        return _written(file, bytes(data))

    def _cut(self, file: Path) -> Path:
        data = file.read_bytes()
        return _written(file, data[: self._rng.randrange(len(data))])

    def _add_bytes(self, file: Path) -> Path:
        return _written(file, file.read_bytes() + self._rng.choice([b"\n", b" ", b"\0", b"{}"]))

    def _take_from_another_run(self, file: Path) -> Path:
        theirs = self._other / file.relative_to(self._root)
        if not theirs.is_file() or theirs.read_bytes() == file.read_bytes():
            raise NoChange
        return _written(file, theirs.read_bytes())

    # ---- of files in a folder

    def _remove(self, file: Path) -> Path:
        file.unlink()
        return file

    def _add_a_file(self, file: Path) -> Path:
        added = file.with_name(f"added{file.suffix}")
        shutil.copyfile(file, added)
        return added

    def _take_a_neighbour(self, file: Path) -> Path:
        others = [other for other in sorted(file.parent.iterdir()) if other.read_bytes() != file.read_bytes()]
        return _written(file, self._rng.choice(others).read_bytes())

    # ---- of values

    def _scale_a_number(self, file: Path) -> Path:
        by = self._rng.choice([1 / 500, 0.5, 0.9, 1.1, 2, 500])
        return self._of_a_leaf(file, lambda value: value * by if isinstance(value, float) else round(value * by))

    def _negate_a_number(self, file: Path) -> Path:
        return self._of_a_leaf(file, lambda value: -value)

    def _of_a_leaf(self, file: Path, change: Callable[[Any], Any]) -> Path:
        content = _read(file)
        numbers = [leaf for leaf in _leaves(content) if type(leaf[0][leaf[1]]) in (int, float)]
        holder, key = self._rng.choice(numbers)
        if change(holder[key]) == holder[key]:
            raise NoChange
        holder[key] = change(holder[key])
        return _written_as(file, content)

    def _exchange_two_values(self, file: Path) -> Path:
        content = _read(file)
        (one, at), (other, there) = self._rng.sample(list(_leaves(content)), 2)
        if one[at] == other[there]:
            raise NoChange
        one[at], other[there] = other[there], one[at]
        return _written_as(file, content)

    def _remove_a_key(self, file: Path) -> Path:
        content = _read(file)
        holder, key = self._rng.choice([leaf for leaf in _leaves(content, inner=True) if isinstance(leaf[0], dict)])
        del holder[key]
        return _written_as(file, content)

    # ---- of dvc.lock

    def _change_a_digest(self, file: Path) -> Path:
        content = _read(file)
        holder, key = self._rng.choice([leaf for leaf in _leaves(content) if leaf[1] == "md5"])
        place = self._rng.randrange(32)
        old = holder[key]
        holder[key] = (
            old[:place] + self._rng.choice([d for d in "0123456789abcdef" if d != old[place]]) + old[place + 1 :]
        )
        return _written_as(file, content)

    def _change_a_command(self, file: Path) -> Path:
        content = _read(file)
        stage = self._rng.choice(sorted(content["stages"]))
        content["stages"][stage]["cmd"] += " --again"
        return _written_as(file, content)


_WAYS_OF_ANY = ["flip_a_byte", "change_a_digit", "cut", "add_bytes", "take_from_another_run"]
_WAYS_OF_FOLDERS = ["remove", "add_a_file", "take_a_neighbour"]
_WAYS_OF_JSON = ["scale_a_number", "negate_a_number", "exchange_two_values", "remove_a_key"]
_WAYS_OF_YAML = ["scale_a_number", "exchange_two_values", "remove_a_key", "take_from_another_run"]
_WAYS_OF_LOCK = ["change_a_digest", "change_a_command"]


def _leaves(content: Any, *, inner: bool = False) -> Iterator[Leaf]:
    """Each value that is no mapping or list (or, `inner`, those too), but for section runtime."""
    listed = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in listed:
        if key == "runtime":
            continue
        if not isinstance(value, dict | list) or inner:
            yield content, key
        yield from _leaves(value, inner=inner)


def _read(file: Path) -> Any:
    return json.loads(file.read_bytes()) if file.suffix == ".json" else read_yaml(file)


def _written_as(file: Path, content: Any) -> Path:
    """JSON in the very form that the stages give it, so that its form tells nothing."""
    if file.suffix == ".json":
        return _written(file, (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode())
    with file.open("r+", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(content, stream)
        stream.truncate()
    return file


def _written(file: Path, data: bytes) -> Path:
    """In place, so that the file is the same to the file system."""
    with file.open("r+b") as stream:
        stream.write(data)
        stream.truncate()
    return file


def _kept(place: Path) -> dict[Path, tuple[bytes, int]]:
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def _put_back(place: Path, kept: dict[Path, tuple[bytes, int]]) -> None:
    for file in sorted(place.iterdir()) if place.is_dir() else []:
        if file not in kept:
            file.unlink()
    for file, (data, when) in kept.items():
        file.touch()
        _written(file, data)
        os.utime(file, ns=(when, when))
