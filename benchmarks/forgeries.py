"""One change at a time of what a run left behind: is each refused by `ddpm promote`, by the name of the file?

    python benchmarks/forgeries.py --work /tmp/forgeries [--count 200] [--seed 0]

A small project is run to its champion; then once more with other settings, in a copy, for files of another run. Then
metrics, record, verdict, bundle, samples, parameters and lock are changed: numbers scaled, digits and bytes flipped,
keys removed, values exchanged, files cut, added, exchanged, taken from the other run. The time of the file is put back
each time, so that nothing is found by it. After each change `promote` is called; then all is as before. Section
`runtime` of params.yaml is left alone: it decides no output, and no run shows it.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine, table
from ruamel.yaml import YAML

from ddpm_core.errors import DdpmError
from pipelines.params import load_params, read_yaml
from pipelines.paths import Paths
from pipelines.release.promotion import promote
from pipelines.tracking.tracker import open_tracker
from pipelines.versioning.dvc_lock import MEND

ROOT = Path(__file__).parents[1]
TARGETS = ("metrics", "record", "gate", "bundle", "samples", "params", "lock")
_PLACES = {
    "metrics": "out/metrics.json",
    "record": "out/record.json",
    "gate": "out/gate.json",
    "params": "params.yaml",
    "lock": "dvc.lock",
}
_TINY = ROOT / "tests" / "e2e" / "params-tiny.yaml"
_OTHER = {"sample": {"sampler": {"steps": 3}}, "evaluate": {"seed": 1000}, "gate": {"min_samples": 19}}

Leaf = tuple[Any, Any]  # a mapping or a list, and a key or a place in it


class NoChange(Exception):
    """This change would leave everything as it is; another one is drawn."""


@dataclass(frozen=True)
class Forgery:
    """A change that was made, by what it is and to which file."""

    target: str
    file: str
    what: str


@dataclass(frozen=True)
class Result:
    forgery: Forgery
    refused: bool
    named: bool
    message: str


def tried(forger: "Forger", target: str, attempt: Callable[[], object]) -> Result:
    """Make one change, see what comes of it, and put all back."""
    with forger.forged(target) as forgery:
        try:
            attempt()
        except DdpmError as error:
            message = str(error).replace(MEND, "")
            return Result(forgery, True, forgery.file in message, str(error))
    return Result(forgery, False, False, "promoted, or found to be the champion already")


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


# ------------------------------------------------------------------------------------------------ the small project


def small_project(work: Path) -> Path:
    """A clone of the working tree with tiny parameters, run to its champion; one that is there is taken."""
    root = work / "project"
    if (root / "out" / "gate.json").is_file():
        return root
    for place in ("ddpm_core", "pipelines", ".dvc/plots"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / place, root / place, ignore=ignored, dirs_exist_ok=True)
    for place in ("dvc.yaml", ".dvcignore", ".gitignore", "data/.gitignore", ".dvc/config", ".dvc/.gitignore"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / place, root / place)
    _set(root, read_yaml(ROOT / "params.yaml"), read_yaml(_TINY))
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    _ddpm(root, work, "run")
    return root


def another_run(root: Path, work: Path) -> Path:
    """The same project with other settings of sampler, seed and gate: no training, but every file after it."""
    other = work / "other" / "project"
    if not other.is_dir():
        shutil.copytree(root, other, symlinks=True)
        _set(other, read_yaml(other / "params.yaml"), _OTHER)
        _ddpm(other, work / "other", "run", "--no-promote")
    return other


def _set(root: Path, params: dict[str, Any], changes: dict[str, Any]) -> None:
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(_merged(params, changes), file)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], value) for key, value in changes.items() if isinstance(base.get(key), dict)}
    return {**base, **changes, **both}


def _ddpm(root: Path, work: Path, *words: str) -> None:
    here = {**os.environ, "DDPM_HOME": str(work / "home"), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-m", "pipelines.cli", *words], cwd=root, env=here, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder, or one that this made before")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    work = args.work.resolve()
    root = small_project(work)
    other = another_run(root, work)
    os.environ["DDPM_HOME"] = str(work / "home")
    paths = Paths.of(root)

    def attempt() -> None:
        params = load_params(paths.params)
        promote(params, paths, open_tracker(True, paths.home))

    attempt()  # without a change it must be the champion
    forger, results, began = Forger(root, other, args.seed), [], time.monotonic()
    for number in range(args.count):
        result = tried(forger, TARGETS[number % len(TARGETS)], attempt)
        results.append(result)
        if not (result.refused and result.named):
            print(f"NOT NOTICED {result.forgery}: {result.message}", flush=True)
    attempt()  # and so it must be in the end
    print(machine("dvc", "mlflow"))
    print(summary(results), f"\n{time.monotonic() - began:.0f} s")
    sys.exit(not all(result.refused and result.named for result in results))


def summary(results: list[Result]) -> str:
    """A row for each kind of file."""
    rows = []
    for target in TARGETS:
        of = [result for result in results if result.forgery.target == target]
        ways = ", ".join(f"{what} {n}" for what, n in sorted(Counter(result.forgery.what for result in of).items()))
        refused, named = sum(result.refused for result in of), sum(result.named for result in of)
        rows.append((target, str(len(of)), str(refused), str(named), ways.replace("_", " ")))
    total = [sum(int(row[column]) for row in rows) for column in (1, 2, 3)]
    rows.append(("all", *map(str, total), ""))
    return table(("file", "changes", "refused", "by its name", "which"), rows)


if __name__ == "__main__":
    main()
