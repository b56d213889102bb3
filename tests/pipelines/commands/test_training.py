"""`ddpm train` by several processes and under the profiler: what is started, and what is refused."""

import argparse
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.training import launching
from pipelines.commands import training
from pipelines.paths import Paths
from pipelines.runtime.threads import OURS
from pipelines.stages import train

PATHS = Paths(Path("/project"), Path("/home"))


def wanted(*, nproc: int | None = None, profile: bool = False, probe: bool = False) -> argparse.Namespace:
    return argparse.Namespace(nproc=nproc, profile=profile, probe=probe, quiet=True, debug=False)


def params(processes: int = 1, threads: int = 4) -> Any:
    return SimpleNamespace(runtime=SimpleNamespace(processes=processes, threads=threads))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int]]:
    calls: list[tuple[list[str], int]] = []
    monkeypatch.setattr(launching, "launch", lambda command, processes: calls.append((command, processes)))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "4")
    monkeypatch.setenv(OURS, "")  # so that it is put back, whatever a launch makes of it
    monkeypatch.delenv(OURS)
    monkeypatch.delenv("RANK", raising=False)
    return calls


def test_one_process_trains_here(started: list[tuple[list[str], int]]) -> None:
    assert not training.done_otherwise(wanted(), params(), PATHS)
    assert not training.done_otherwise(wanted(nproc=1), params(processes=2), PATHS)
    assert started == []


@pytest.mark.parametrize(("asked", "in_params"), [(2, 1), (None, 2), (2, 8)])
def test_several_are_launched_with_their_share_of_the_threads(
    asked: int | None, in_params: int, started: list[tuple[list[str], int]]
) -> None:
    assert training.done_otherwise(wanted(nproc=asked), params(in_params), PATHS)
    command = [sys.executable, "-m", "pipelines.cli", "--project", "/project", "--quiet", "train"]
    assert started == [(command, 2)]
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_what_was_launched_launches_no_more(
    started: list[tuple[list[str], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert not training.done_otherwise(wanted(), params(processes=2), PATHS)
    assert started == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (wanted(nproc=0), "--nproc: must be at least 1, got 0"),
        (wanted(nproc=2, profile=True), "--profile, --probe and --nproc"),
        (wanted(nproc=2, probe=True), "--profile, --probe and --nproc"),
        (wanted(profile=True, probe=True), "give one of them"),
    ],
)
def test_what_cannot_be_is_refused(asked: argparse.Namespace, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        training.done_otherwise(asked, params(), PATHS)


@pytest.mark.parametrize("name", ["profile", "probe"])
def test_a_profile_and_a_probe_are_shown(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, name, lambda _params, _paths: f"{name} 1 ms\n")
    assert training.done_otherwise(wanted(**{name: True}), params(processes=2), PATHS)
    assert capsys.readouterr().out == f"{name} 1 ms\n"
