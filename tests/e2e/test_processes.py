"""Several processes of this machine: `ddpm train` stopped and gone on with, as DVC calls it, and `ddpm evaluate`."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from safetensors import safe_open

from tests.support.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def two(project: Project, *, steps: int) -> None:
    project.set_params(
        {"runtime": {"processes": 2}, "train": {"steps": steps, "log_every": 1, "checkpoint_every": 1000}}
    )


def test_two_processes_stop_together_go_on_together_and_leave_what_they_would_have_left(finished: Project) -> None:
    two(finished, steps=40)
    done = finished.ddpm("train")
    assert done.code == 0, done.text
    assert "by 2 processes" in done.text
    assert done.text.count("training ") == 1
    whole = finished.read("out/weights.safetensors")
    shelf = finished.home / "checkpoints"
    shutil.rmtree(shelf)  # or the finished training would write its outputs again

    command = [sys.executable, "-m", "pipelines.cli", "train"]
    stopped = subprocess.Popen(
        command, cwd=finished.root, env=finished.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    until = time.monotonic() + 300
    while not any(shelf.glob("*/training.json")) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(stopped.pid, signal.SIGTERM)
    text = stopped.communicate(timeout=300)[0].decode()
    assert stopped.returncode == 143, text
    assert "and saved; the same command resumes from there" in text

    again = finished.ddpm("train", "--nproc", "2")
    assert again.code == 0, again.text
    assert "resumed from the checkpoint of step" in again.text
    assert finished.read("out/weights.safetensors") == whole


def test_dvc_trains_by_so_many_processes_without_a_stage_being_stale_for_it(finished: Project) -> None:
    finished.set_params({"runtime": {"processes": 2}})
    assert finished.ddpm("run", "--only", "train").unchanged() == ["train"]
    finished.set_params({"train": {"steps": 14}})
    done = finished.ddpm("run", "--only", "train")
    assert done.code == 0, done.text
    assert "by 2 processes" in done.text
    with safe_open(finished.root / "out" / "weights.safetensors", "pt") as file:
        assert '"steps": 14' in file.metadata()["ddpm"]


def test_a_batch_that_cannot_be_cut_is_told_with_its_exit_code(finished: Project) -> None:
    done = finished.ddpm("train", "--nproc", "3")
    assert done.code == 2, done.text
    assert "train.batch_size: must be a multiple of processes times train.accumulate = 3 x 1, got 16" in done.text


def test_two_processes_sample_what_one_does(finished: Project) -> None:
    one = finished.read("out/samples/images.npz")
    finished.set_params({"runtime": {"sampling_processes": 2}, "evaluate": {"batch_size": 16}})
    done = finished.ddpm("run", "--only", "evaluate")
    assert done.code == 0, done.text
    assert "sampling by 2 processes, threads of each: 1" in done.text
    assert finished.read("out/samples/images.npz") == one
