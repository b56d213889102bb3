"""Processes that our launcher started: the failure or the signal of one ends all, with its code."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

SCRIPT = [sys.executable, str(Path(__file__).parent / "processes_script.py")]


LAUNCH = """
import sys
from ddpm_core.errors import DdpmError
from ddpm_core.training.launching import launch
try:
    launch(sys.argv[1:], 2)
except DdpmError as error:
    print("launcher:", error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def by_our_launcher(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", LAUNCH, *SCRIPT, str(folder), *words]


def failed(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(by_our_launcher(folder, *words), capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_not_a_number_in_one_process_stops_all_with_its_code_and_is_told_once(tmp_path: Path) -> None:
    code, said = failed(tmp_path, "--nan-at", "7")
    assert code == 5, said
    assert sum(line.startswith("loss and gradient must be finite") for line in said.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("process", [0, 1])
def test_the_error_of_one_process_ends_all_with_its_code_and_is_told_once(tmp_path: Path, process: int) -> None:
    code, said = failed(tmp_path, "--fail-at", "7", "--fail-by", str(process))
    assert code == 4, said
    lines = said.splitlines()
    assert lines.count(f"as if in process {process}") == 1
    (launcher,) = (line for line in lines if line.startswith("launcher:"))
    assert f"process {process} failed with exit code 4 (ContractFailed: as if in process {process})" in launcher
    assert f"{process}: 4" in launcher
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_same_command_may_go_on(tmp_path: Path) -> None:
    code, said = failed(tmp_path, "--fail-at", "7", "--kill")
    assert code == 75, said
    assert "process 1 was killed by SIGKILL" in said
    assert "the same command resumes from what was saved" in said


@pytest.mark.slow
def test_a_process_that_is_stuck_in_c_ends_when_another_fails(tmp_path: Path) -> None:
    code, said = failed(tmp_path, "--fail-at", "7", "--stuck", "0", "--grace", "1")
    assert code == 4, said
    assert "the exit codes are 0: 4, 1: 4" in said
    assert "process 1 failed (ContractFailed: as if in process 1), and this one did not end by itself" in said


@pytest.mark.slow
def test_a_process_that_is_stuck_in_c_ends_when_another_is_killed(tmp_path: Path) -> None:
    code, said = failed(tmp_path, "--fail-at", "7", "--kill", "--stuck", "0", "--grace", "1")
    assert code == 75, said
    assert "the exit codes are 0: 143, 1: -9" in said
    assert "SIGTERM: the process is in a call that did not end within 1 seconds; ended" in said


@pytest.mark.slow
@pytest.mark.parametrize("to", ["launcher", "process"])
def test_a_signal_to_any_makes_all_finish_the_step_and_the_first_one_save(tmp_path: Path, to: str) -> None:
    command = by_our_launcher(tmp_path, "--slowly")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ready = tmp_path / "running-1"
    until = time.monotonic() + 120
    while not ready.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid if to == "launcher" else int(ready.read_text()), signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    saved = sorted(int(entry.name[5:]) for entry in (tmp_path / "checkpoints").iterdir())
    assert saved[-1] % 6 != 0 or to == "process"
    assert "and saved; the same command resumes from there" in err
    assert all(a < b for a, b in pairwise(saved))
