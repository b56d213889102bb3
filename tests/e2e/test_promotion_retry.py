"""A real flow on a real Prefect server promotes into a real MLflow server that is away at first and then comes back."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.tracking.tracker import connect
from tests.support.mlflow_server import Server
from tests.support.project import Project, tiny_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FLOW = """
import sys
from prefect import flow
from pipelines import flows

if __name__ == "__main__":
    @flow
    def promotion(project):
        return flows.promote_bundle(project)

    promotion(sys.argv[1])
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    yield server
    server.stop()


@pytest.fixture
def project(server: Server, tmp_path: Path) -> Project:
    """Judged while the store is away: a stage waits for no store."""
    project = tiny_project(tmp_path)
    done = project.ddpm("run", "--no-promote")
    assert done.code == 0, done.text
    return project


def test_a_promotion_waits_for_a_store_that_is_away_for_a_while(
    project: Project, server: Server, tmp_path: Path
) -> None:
    script, log = tmp_path / "flow.py", tmp_path / "flow.log"
    script.write_text(FLOW, encoding="utf-8")
    env = {**project.with_prefect(tmp_path / "prefect"), "PREFECT_LOGGING_LEVEL": "INFO"}  # each try is told at INFO
    command = [sys.executable, str(script), str(project.root)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=project.root, env=env, stdout=file, stderr=subprocess.STDOUT)
    until = time.monotonic() + 600
    while "StoreUnreachable" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until
        time.sleep(0.5)
    server.start()
    assert process.wait(timeout=600) == 0, log.read_text()
    registry = connect(tmp_path / "home").client
    (model,) = registry.search_registered_models()
    assert model.aliases == {"champion": "1"}
