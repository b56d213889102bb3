"""`ddpm run` with the real DVC and a stage of one line: signals reach the stage, and none outlives the run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.runtime.lifetime import OWNER, Process, descendants
from tests.support.imports import ROOT
from tests.support.project import write_yaml

# Stands for `ddpm train`: says that it runs, and on a signal saves and leaves with 143.
STAGE = """
import os, sys, time
from ddpm_core.training.signals import listening
from pipelines.runtime.lifetime import end_with_owner
with listening() as stop:
    end_with_owner()
    print("running", os.getpid(), flush=True)
    while not stop():
        time.sleep(0.02)
    open("saved.txt", "w").write(stop.name)
sys.exit(143)
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one-stage")
    for name in ("params.yaml", "pipelines/kinds/pictures/sources/embedded_digits.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "stage.py").write_text(STAGE, encoding="utf-8")
    command = f'"{sys.executable}" stage.py; exit $?'  # so that the shell stays between the two
    write_yaml(folder / "dvc.yaml", {"stages": {"train": {"cmd": command, "outs": ["never"]}}})
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    return folder


@pytest.fixture
def started(fresh: Path) -> Iterator[tuple[subprocess.Popen[str], Process]]:
    """`ddpm run` and the stage that it runs; the stage has said that it does."""
    (fresh / "saved.txt").unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != OWNER}
    environment |= {"PYTHONPATH": str(ROOT), "DDPM_HOME": str(fresh / "home")}
    command = [sys.executable, "-m", "pipelines.cli", "run", "--no-promote"]
    run = subprocess.Popen(
        command, cwd=fresh, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    word, pid = run.stdout.readline().split()
    assert word == "running"
    yield run, Process.of(int(pid))
    for left in (*descendants(run.pid), run.pid):
        with suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)
    run.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_the_run_lets_the_stage_save_and_both_end_with_143(
    started: tuple[subprocess.Popen[str], Process], fresh: Path, number: signal.Signals
) -> None:
    run, stage = started
    assert stage.pid in descendants(run.pid)
    run.send_signal(number)
    assert run.wait(60) == 143
    assert run.stderr is not None
    assert f"stopped by {number.name} at stage train" in run.stderr.read()
    assert (fresh / "saved.txt").read_text() == "SIGTERM"
    stage.wait()  # it may be gone from the list of processes a moment later


def test_a_run_that_is_killed_takes_its_stage_with_it_which_saves(
    started: tuple[subprocess.Popen[str], Process], fresh: Path
) -> None:
    run, stage = started
    run.kill()
    stage.wait()
    assert (fresh / "saved.txt").read_text() == "SIGTERM"
    assert run.wait(60) == -signal.SIGKILL
