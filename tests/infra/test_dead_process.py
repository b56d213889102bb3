"""Where a process of the tests dies, the run ends with an error and says so; it does not wait for the tests it had."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT

KILLED = """
import os, signal
def test_before(): pass
def test_killed(): os.kill(os.getpid(), signal.SIGKILL)
def test_after(): pass
"""


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(KILLED)
    shutil.copyfile(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    for name in "bcd":
        (tmp_path / f"test_{name}.py").write_text("def test_one(): pass\n")
    found = re.search(r"^QUICK := -q -m \"not slow\" (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    words = found[1].replace("$(JOBS)", "2").split()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR, done.stdout
    assert "died (Not properly terminated)" in done.stdout
    assert "FAILED test_a.py::test_killed" in done.stdout
