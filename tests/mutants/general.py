"""A general mutation tool over the numbers room: mutmut's own faults, a random sample of them.

    python tests/mutants/general.py [--sample N] [--seed S] [--folder DIR]

The faults that no test notices are shown as mutmut wrote them; docs/mutants.md says of each known one why. With
--folder the copy it works in is kept, and what was tried there is not tried again.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from copies import QUIET, Copy
from suite import MATHS
from table import FaultError

ROOM = ("ddpm_core/diffusion", "ddpm_core/samplers", "ddpm_core/metrics")
CORNER = Path(sys.prefix) / "mutmut"  # where `make install-mutmut` puts it: beside the locked packages, not among them
CONFIG = {
    "source_paths": ("ddpm_core/",),
    "only_mutate": tuple(f"{folder}/*.py" for folder in ROOM),
    "also_copy": ("params.yaml", "pipelines/", "docs/"),
    "pytest_add_cli_args": ("-p", "no:cacheprovider", "-m", "not slow", "--hypothesis-seed=0"),
    "pytest_add_cli_args_test_selection": MATHS,
}
FEWEST = "ddpm_core.diffusion.variance.*"
"""A handful of mutants: asking for them makes mutmut write them all and learn which test reaches which function."""
AT_ONCE = 50
COLUMNS = ("killed", "timeout", "survived", "unreached")
OUTCOMES = {0: "survived", 1: "killed", 3: "killed", 5: "unreached", 33: "unreached"}  # any other code: out of time
LEAST_KILLED = 0.95


@dataclass(frozen=True)
class Mutmut:
    """mutmut at work in a copy of the project, under the interpreter that has the project's dependencies."""

    tree: Path
    tool: Path
    jobs: int

    def prepare(self) -> None:
        """Make the copy and all mutants, where that is not done."""
        if not (self.tool / "mutmut").is_dir():
            raise FaultError(f"mutmut must lie in {self.tool}, and does not; run `make install-mutmut`")
        if not self.tree.exists():
            Copy(self.tree)
            (self.tree / "setup.cfg").write_text(as_ini(CONFIG), encoding="utf-8")
        if not self.codes():
            self.run(FEWEST)

    def run(self, *names: str) -> None:
        """Try mutants."""
        self._call("run", "--max-children", str(self.jobs), *names)

    def diff(self, name: str) -> str:
        """What a mutant changes."""
        lines = self._call("show", name).splitlines()
        return "\n".join(line for line in lines if line[:1] in ("+", "-") and line[:3] not in ("+++", "---"))

    def codes(self) -> dict[str, int | None]:
        """The exit code of each mutant's tests by its name, None where it was not tried yet."""
        files = sorted((self.tree / "mutants").rglob("*.py.meta"))
        contents = (json.loads(file.read_text(encoding="utf-8")) for file in files)
        return {name: code for content in contents for name, code in content["exit_code_by_key"].items()}

    def _call(self, *words: str) -> str:
        command = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", *words]
        environment = {**os.environ, **QUIET, "PYTHONPATH": str(self.tool)}
        run = subprocess.run(command, cwd=self.tree, env=environment, stdout=subprocess.PIPE, text=True)
        if run.returncode != 0:
            raise FaultError(f"mutmut {words[0]} ended with code {run.returncode}:\n{run.stdout[-3000:]}")
        return run.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tool", type=Path, default=CORNER, help="where mutmut lies")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ddpm-mutmut-") as temporary:
            tree = args.folder.absolute() if args.folder else Path(temporary) / "tree"
            return judge(Mutmut(tree, args.tool.absolute(), args.jobs), args.sample, args.seed)
    except FaultError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def judge(mutmut: Mutmut, size: int, seed: int) -> int:
    """Try the sample and tell what came of it; 0 where enough was noticed."""
    mutmut.prepare()
    everything = sorted(mutmut.codes())
    sample = sorted(random.Random(seed).sample(everything, min(size, len(everything))))
    while missing := [name for name, code in mutmut.codes().items() if name in sample and code is None]:
        show(f"{len(missing)} of {len(sample)} mutants to try")
        mutmut.run(*missing[:AT_ONCE])
    codes = mutmut.codes()
    found = {name: OUTCOMES.get(codes[name] or 0, "timeout") for name in sample}
    show(f"\n{len(sample)} of the {len(everything)} mutants of {', '.join(ROOM)}, drawn by random.Random({seed}):\n")
    show(table(found))
    noticed = sum(outcome in ("killed", "timeout") for outcome in found.values())
    show(f"\n{noticed} of {len(found)} noticed, {noticed / len(found):.1%}; not noticed:\n")
    for name, outcome in found.items():
        if outcome in ("survived", "unreached"):
            show(f"{name} ({outcome})\n{mutmut.diff(name)}\n")
    return 0 if noticed >= LEAST_KILLED * len(found) else 1


def as_ini(config: dict[str, tuple[str, ...]]) -> str:
    """mutmut reads setup.cfg: a value a line."""
    lists = (f"{key}=\n" + "".join(f"    {value}\n" for value in values) for key, values in config.items())
    return "[mutmut]\n" + "".join(lists)


def table(found: dict[str, str]) -> str:
    """Outcomes by module, in Markdown."""
    by_module: dict[str, Counter[str]] = {}
    for name, outcome in found.items():
        module = name.split(".x", 1)[0].removeprefix("ddpm_core.")
        by_module.setdefault(module, Counter())[outcome] += 1
    rows = [*sorted(by_module.items()), ("all", sum(by_module.values(), Counter()))]
    head = ["| module | mutants | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    cells = ((module, counts.total(), *(counts[column] for column in COLUMNS)) for module, counts in rows)
    return "\n".join([*head, *("| " + " | ".join(map(str, row)) + " |" for row in cells)])


def show(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
