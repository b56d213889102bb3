"""A real Prefect server and worker on loopback: the schedule of the deployment fires and the run completes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.params import read_yaml
from tests.support.imports import ROOT
from tests.support.project import Project, write_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PREFECT = (sys.executable, "-m", "prefect")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(project: Project, env: dict[str, str], log: Path, *words: str) -> Iterator[None]:
    """A Prefect process in the background, stopped with all its children at the end."""
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*PREFECT, *words], cwd=project.root, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def wait_for(what: str, look: Any, seconds: float, log: Path) -> Any:
    """The first true answer of `look`; the server's last words where none comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(2)
    pytest.fail(f"{what} did not happen in {seconds:.0f} s:\n{log.read_text(encoding='utf-8')[-4000:]}")


def test_schedule_fires_and_the_run_completes(finished: Project, tmp_path: Path) -> None:
    project = finished
    project.set_params({"gate": {"max_energy": 5.0e8}})  # so that report and gate have something to do
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = {**project.environment(), "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": api}
    write_yaml(project.root / "infra" / "prefect.yaml", every_minute(read_yaml(ROOT / "infra" / "prefect.yaml")))

    def call(*words: str) -> None:
        done = subprocess.run([*PREFECT, *words], cwd=project.root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def completed() -> Any:
        runs = ask(f"{api}/flow_runs/filter", {"sort": "START_TIME_ASC"})
        ended = [run for run in runs if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
        return ended[0] if ended else None

    server_log, worker_log = tmp_path / "server.log", tmp_path / "worker.log"
    with running(project, env, server_log, "server", "start", "--host", "127.0.0.1", "--port", str(port)):
        wait_for("the server's health", lambda: ask(f"{api}/health"), 180, server_log)
        call("work-pool", "create", "ddpm", "--type", "process")
        call("--no-prompt", "deploy", "--prefect-file", "infra/prefect.yaml", "--name", "nightly")
        (deployment,) = ask(f"{api}/deployments/filter", {})
        ((_, where),) = deployment["pull_steps"][0].items()
        assert Path(where["directory"]) == project.root  # before any worker runs there
        with running(project, env, worker_log, "worker", "start", "--pool", "ddpm"):
            run = wait_for("a scheduled run's end", completed, 1200, worker_log)
        keys = {artifact["key"] for artifact in ask(f"{api}/artifacts/filter", {})}
    assert run["state_type"] == "COMPLETED", worker_log.read_text(encoding="utf-8")[-4000:]
    assert run["auto_scheduled"]
    assert {"samples", "report", "gate", "stages"} <= keys
    gate = json.loads(project.read("out/gate.json"))
    assert gate["outcome"] == "pass"
    assert {rule["limit"] for rule in gate["rules"]} >= {5.0e8}


def every_minute(deployments: dict[str, Any]) -> dict[str, Any]:
    """The committed deployment, with its schedule at the next minute."""
    deployments["deployments"][0]["schedules"][0]["cron"] = "* * * * *"
    return deployments
