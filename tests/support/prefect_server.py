"""A real Prefect server on loopback, with workers that run what is scheduled there."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import Project

PREFECT = (sys.executable, "-m", "prefect")
ENDED = ("COMPLETED", "FAILED", "CRASHED")


@dataclass(frozen=True)
class PrefectServer:
    """The server of one project, whose folder every command runs in."""

    project: Project
    folder: Path
    api: str
    env: dict[str, str]

    def call(self, *words: str) -> None:
        done = subprocess.run([*PREFECT, *words], cwd=self.project.root, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def first_run_to_end(self, seconds: float) -> Any:
        """The run that ends first, by a worker that is stopped then."""
        log = self.folder / "worker.log"
        with _running(self.project, self.env, log, "worker", "start", "--pool", "ddpm"):
            return _wait_for("a scheduled run's end", self._ended, seconds, log)

    def worker_says(self) -> str:
        return (self.folder / "worker.log").read_text(encoding="utf-8")[-4000:]

    def _ended(self) -> Any:
        runs = self.ask("flow_runs/filter", {"sort": "START_TIME_ASC"})
        return next((run for run in runs if run["state_type"] in ENDED), None)


@contextmanager
def prefect_server(project: Project, folder: Path) -> Iterator[PrefectServer]:
    """A server with a work pool `ddpm` of processes; its state lies in `folder`."""
    port = _free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = {**project.environment(), "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": api}
    server, log = PrefectServer(project, folder, api, env), folder / "server.log"
    with _running(project, env, log, "server", "start", "--host", "127.0.0.1", "--port", str(port)):
        _wait_for("the server's health", lambda: server.ask("health"), 180, log)
        server.call("work-pool", "create", "ddpm", "--type", "process")
        yield server


def every_minute(deployments: dict[str, Any]) -> dict[str, Any]:
    """A prefect.yaml with its schedule at the next minute."""
    deployments["deployments"][0]["schedules"][0]["cron"] = "* * * * *"
    return deployments


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _running(project: Project, env: dict[str, str], log: Path, *words: str) -> Iterator[None]:
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


def _wait_for(what: str, look: Callable[[], Any], seconds: float, log: Path) -> Any:
    """The first true answer of `look`; the last words of the process where none comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(2)
    pytest.fail(f"{what} did not happen in {seconds:.0f} s:\n{log.read_text(encoding='utf-8')[-4000:]}")
