"""A real Prefect server and worker on loopback: the schedule of the deployment fires and the run completes."""

import json
from pathlib import Path

import pytest

from pipelines.params import read_yaml
from tests.support.imports import ROOT
from tests.support.prefect_server import every_minute, prefect_server
from tests.support.project import Project, write_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_schedule_fires_and_the_run_completes(finished: Project, tmp_path: Path) -> None:
    project = finished
    project.set_params({"gate": {"max_energy": 5.0e8}})  # so that report and gate have something to do
    write_yaml(project.root / "infra" / "prefect.yaml", every_minute(read_yaml(ROOT / "infra" / "prefect.yaml")))
    with prefect_server(project, tmp_path) as server:
        server.call("--no-prompt", "deploy", "--prefect-file", "infra/prefect.yaml", "--name", "nightly-ddpm-pipeline")
        (deployment,) = server.ask("deployments/filter", {})
        ((_, where),) = deployment["pull_steps"][0].items()
        assert Path(where["directory"]) == project.root  # before any worker runs there
        run = server.first_run_to_end(1200)
        keys = {artifact["key"] for artifact in server.ask("artifacts/filter", {})}
    assert run["state_type"] == "COMPLETED", server.worker_says()
    assert run["auto_scheduled"]
    assert {"samples", "report", "gate", "stages"} <= keys
    gate = json.loads(project.read("out/gate.json"))
    assert gate["outcome"] == "pass"
    assert {rule["limit"] for rule in gate["rules"]} >= {5.0e8}
