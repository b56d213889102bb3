"""A few kills of the benchmark: nothing is left behind, and the next run ends as if nothing had been."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("targets", ["run,stage", "worker,flow", "ui,serve"])
def test_a_kill_leaves_nothing_behind_and_the_next_run_the_same_bytes(targets: str, tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "kill_everything.py"
    words = [sys.executable, str(script), "--kills", "2", "--targets", targets, "--work", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
