"""The flow without a server: order, streamed lines, retries only for what may pass by itself, artifacts."""

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddpm_core.errors import (
    ContractFailed,
    DdpmError,
    GateFailed,
    ParamsError,
    PromotionRefused,
    StoreUnreachable,
    TrackingError,
    TryAgain,
)
from pipelines import flows
from pipelines.params import load_params
from pipelines.versioning.dvc_repair import LockBusy
from pipelines.versioning.dvc_repo import StageFailed
from tests.support.imports import ROOT

GATE = {
    "outcome": "fail",
    "rules": [{"rule": "samples", "value": None, "limit": 20.0, "outcome": "fail", "text": "too few", "more": 1}],
}


class FailedState:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def result(self, raise_on_failure: bool) -> BaseException:
        assert not raise_on_failure
        return self.error


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, *values: object) -> None:
        self.lines.append(text % values)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(flows, "get_run_logger", lambda: log)
    return log


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for name in ("table", "image", "link", "markdown"):

        def keep(key: str, **values: Any) -> None:
            made[key] = values

        monkeypatch.setattr(flows, f"create_{name}_artifact", keep)
    return made


def stale(answer: bool) -> Callable[..., Any]:
    class Repo:
        def __init__(self, root: Path) -> None:
            self.root = root

        def is_stale(self, name: str) -> bool:
            return answer

        def order(self) -> list[str]:
            return ["prepare", "evaluate", "report", "gate"]

    return Repo


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LockBusy("busy"), True),
        (StageFailed("train", 143), True),
        (StageFailed("train", 137), True),
        (StageFailed("evaluate", 75), True),
        (TryAgain("killed"), True),
        (StoreUnreachable("away"), True),
        (TrackingError("damaged"), False),
        (PromotionRefused("worse"), False),
        (StageFailed("prepare", 1), False),
        (OSError("disk"), True),
        (StageFailed("gate", 3), False),
        (StageFailed("validate", 4), False),
        (StageFailed("train", 2), False),
        (StageFailed("train", 5), False),
        (GateFailed("no"), False),
        (ContractFailed("no"), False),
        (ParamsError("no"), False),
        (DdpmError("no"), False),
        (ValueError("a fault of ours"), False),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(error: BaseException, again: bool) -> None:
    assert flows.may_pass_by_itself(None, None, FailedState(error)) is again  # type: ignore[arg-type]


def test_unchanged_stage_starts_no_process(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "DvcRepo", stale(False))
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **more: pytest.fail("a process was started"))
    assert flows.run_stage.fn("/nowhere", "prepare") == "unchanged"
    assert log.lines == ["prepare: unchanged"]


@pytest.mark.parametrize("code", [0, 3, -9])
def test_stage_streams_its_lines_and_gives_its_own_exit_code(
    log: Log, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = subprocess.Popen
    end = f"os._exit({code})" if code >= 0 else f"os.kill(os.getpid(), {-code})"
    script = f"import os\nprint('one')\nprint()\nprint('two', flush=True)\n{end}"

    def start(command: list[str], **more: Any) -> Any:
        assert command[1:] == ["-m", "pipelines.cli", "--project", "/nowhere", "run", "--only", "train"]
        return real([sys.executable, "-c", script], **more)

    monkeypatch.setattr(flows, "DvcRepo", stale(True))
    monkeypatch.setattr(subprocess, "Popen", start)
    if code == 0:
        assert flows.run_stage.fn("/nowhere", "train") == "ran"
    else:
        with pytest.raises(StageFailed, match="stage train failed with exit code") as caught:
            flows.run_stage.fn("/nowhere", "train")
        assert caught.value.exit_code == (code if code > 0 else 128 - code)
    assert log.lines == ["one", "two"]


def test_no_task_keeps_a_cache_of_its_own() -> None:
    from prefect.cache_policies import NO_CACHE

    assert flows.run_stage.cache_policy == NO_CACHE
    assert flows.promote_bundle.cache_policy == NO_CACHE


def test_a_promotion_waits_for_a_store_that_is_away_for_a_minute() -> None:
    assert flows.promote_bundle.retry_condition_fn is flows.may_pass_by_itself
    delays = flows.promote_bundle.retry_delay_seconds
    assert isinstance(delays, list)
    assert flows.promote_bundle.retries == len(delays)
    assert sum(delays) >= 60


def test_without_tracking_nothing_is_promoted_and_that_is_said(
    log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = SimpleNamespace(runtime=SimpleNamespace(tracking=False))
    monkeypatch.setattr(flows, "load_params", lambda path: params)
    monkeypatch.setattr(flows, "open_tracker", lambda *words: pytest.fail("a tracker was opened"))
    told = "skipped: runtime.tracking is false, so there is no registry"
    assert flows.promote_bundle.fn(str(tmp_path)) == told
    assert log.lines == [told]


def test_flow_follows_the_graph_then_promotes(
    monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, dict[str, Any]]
) -> None:
    called: list[str] = []
    monkeypatch.setattr(flows, "DvcRepo", stale(True))
    monkeypatch.setattr(flows, "load_params", lambda path: called.append("params") or load_params(path))
    monkeypatch.setattr(flows, "run_stage", lambda project, name: called.append(name) or "ran")
    monkeypatch.setattr(flows, "promote_bundle", lambda project: called.append("promote") or "champion")
    outcomes = flows.pipeline.fn(str(ROOT))
    assert called == ["params", "prepare", "evaluate", "report", "gate", "promote"]
    assert outcomes["promote"] == "champion"
    assert "| gate | ran |" in artifacts["stages"]["markdown"]


def test_failing_gate_shows_its_table_and_promotes_nothing(
    monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for name in ("params.yaml", "dvc.yaml", "pipelines/kinds/pictures/sources/embedded_digits.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gate.json").write_text(flows.json.dumps(GATE), encoding="utf-8")

    def stage(project: str, name: str) -> str:
        if name == "gate":
            raise StageFailed("gate", 3)
        return "ran"

    monkeypatch.setattr(flows, "DvcRepo", stale(True))
    monkeypatch.setattr(flows, "run_stage", stage)
    monkeypatch.setattr(flows, "promote_bundle", lambda project: pytest.fail("it was promoted"))
    with pytest.raises(StageFailed):
        flows.pipeline.fn(str(tmp_path))
    assert artifacts["gate"]["table"] == [
        {"rule": "samples", "value": "-", "limit": 20.0, "outcome": "fail", "text": "too few"}
    ]
    assert "stages" not in artifacts


def test_flow_refuses_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"project: must be a folder that holds params\.yaml and dvc\.yaml, got"):
        flows.pipeline.fn(str(tmp_path))


def test_picture_travels_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert flows.data_uri(tmp_path / "a.png") == "data:image/png;base64,iVBORw=="


def test_runs_whose_process_is_gone_are_found_once_and_a_living_one_never(tmp_path: Path) -> None:
    (tmp_path / "dead").touch()
    with (tmp_path / "alive").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(flows.left_behind(tmp_path)) == ["dead"]
        assert list(flows.left_behind(tmp_path)) == []
    assert list(flows.left_behind(tmp_path)) == ["alive"]


def test_a_run_holds_its_file_while_it_lives_and_tells_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(flows, "tell_crashed", told.append)
    monkeypatch.setattr(flows, "runtime", SimpleNamespace(flow_run=SimpleNamespace(id="this")))
    (tmp_path / "flow-runs").mkdir()
    for run in ("dead", "this"):  # this run began before, and its process was killed
        (tmp_path / "flow-runs" / run).touch()
    with flows.known_to_be_alive(tmp_path):
        assert told == ["dead"]
        assert list(flows.left_behind(tmp_path / "flow-runs")) == []
        assert (tmp_path / "flow-runs" / "this").exists()
    assert list((tmp_path / "flow-runs").iterdir()) == []


def test_no_other_flow_looks_between_the_making_of_a_file_and_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would take this run for dead, and this run would find its own file locked."""
    looks: list[str] = []

    def while_locked(call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*words: Any) -> Any:
            with (tmp_path / "flow-runs.lock").open() as other, pytest.raises(BlockingIOError):
                real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            looks.append(call.__name__)
            return call(*words)

        return checked

    real = fcntl.flock
    monkeypatch.setattr(flows, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": while_locked(real)}))
    monkeypatch.setattr(flows, "left_behind", while_locked(flows.left_behind))
    monkeypatch.setattr(flows, "runtime", SimpleNamespace(flow_run=SimpleNamespace(id="this")))
    with flows.known_to_be_alive(tmp_path):
        assert looks == ["flock", "left_behind", "flock"]
