"""What `ddpm init` says that a run costs, beside what the run then takes.

    python benchmarks/cost_estimate.py points forecast

Each preset becomes a project in a folder of its own, is estimated and run once. On a machine where nothing else runs,
compare with the seconds that passed; beside other work, with one thread, compare with the CPU seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.profiling.plan import cost_of_project

DDPM = (sys.executable, "-m", "pipelines.cli")


@dataclass(frozen=True)
class Row:
    """Seconds of one preset."""

    preset: str
    estimated: float
    passed: float
    computed: float
    code: int

    def text(self) -> str:
        seconds = (f"{each:.0f}" for each in (self.estimated, self.passed, self.computed))
        ratios = (f"{self.estimated / each:.2f}" for each in (self.passed, self.computed))
        return f"| {' | '.join([self.preset, *seconds, *ratios, str(self.code)])} |"


def estimated_and_run(preset: str) -> Row:
    with tempfile.TemporaryDirectory(prefix="ddpm-cost-") as place:
        project = Path(place) / preset
        subprocess.run([*DDPM, "init", str(project), "--preset", preset], check=True, capture_output=True)
        estimated = sum(cost_of_project(project).stages.values())
        began, before = time.perf_counter(), os.times()
        done = subprocess.run([*DDPM, "run", "--project", str(project)], check=False, capture_output=True)
        passed, after = time.perf_counter() - began, os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return Row(preset, estimated, passed, spent, done.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+")
    args = parser.parse_args()
    print("| preset | estimated, s | passed, s | CPU, s | estimated / passed | estimated / CPU | exit code |")
    print("|---|---|---|---|---|---|---|")
    for preset in args.presets:
        print(estimated_and_run(preset).text(), flush=True)


if __name__ == "__main__":
    main()
