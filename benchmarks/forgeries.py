"""One change at a time of what a run left behind: is each refused by `ddpm promote`, by the name of the file?

    python benchmarks/forgeries.py --work /tmp/forgeries [--count 200] [--seed 0]

A small project is run to its champion; then once more with other settings, in a copy, for files of another run. Then
metrics, record, verdict, bundle, samples, parameters and lock are changed: numbers scaled, digits and bytes flipped,
keys removed, values exchanged, files cut, added, exchanged, taken from the other run. The time of the file is put back
each time, so that nothing is found by it. After each change `promote` is called; then all is as before. Section
`runtime` of params.yaml is left alone: it decides no output, and no run shows it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine, table
from forger import TARGETS, Forger, Forgery
from ruamel.yaml import YAML

from ddpm_core.errors import DdpmError
from pipelines.params import load_params, read_yaml
from pipelines.paths import Paths
from pipelines.release.promotion import promote
from pipelines.tracking.tracker import open_tracker
from pipelines.versioning.dvc_lock import MEND

ROOT = Path(__file__).parents[1]
_TINY = ROOT / "tests" / "e2e" / "params-tiny.yaml"
_OTHER = {"sample": {"sampler": {"steps": 3}}, "evaluate": {"seed": 1000}, "gate": {"min_samples": 19}}


@dataclass(frozen=True)
class Result:
    forgery: Forgery
    refused: bool
    named: bool
    message: str


def tried(forger: Forger, target: str, attempt: Callable[[], object]) -> Result:
    """Make one change, see what comes of it, and put all back."""
    with forger.forged(target) as forgery:
        try:
            attempt()
        except DdpmError as error:
            message = str(error).replace(MEND, "")
            return Result(forgery, True, forgery.file in message, str(error))
    return Result(forgery, False, False, "promoted, or found to be the champion already")


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
