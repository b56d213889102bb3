"""A real flow on a real Prefect server: a stage is tried again where its exit code says that this may help."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.params import read_yaml
from tests.support.project import Project, tiny_project, write_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FLOW = """
import sys
from prefect import flow
from pipelines import flows
from pipelines.versioning.dvc_repo import StageFailed

if __name__ == "__main__":
    stage = flows.run_stage.with_options(retry_delay_seconds=0)
    assert stage.retry_condition_fn is flows.may_pass_by_itself and stage.retries == flows.RETRIES

    @flow
    def one_stage(project):
        return stage(project, "prepare")

    try:
        one_stage(sys.argv[1])
    except StageFailed as error:
        sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return tiny_project(tmp_path_factory.mktemp("retries"))


@pytest.mark.parametrize(("code", "times"), [(1, 1), (75, 3)])
def test_a_stage_is_tried_as_often_as_its_exit_code_says(
    project: Project, code: int, times: int, tmp_path: Path
) -> None:
    """The stage's command counts itself, and ends with the code."""
    tried = tmp_path / "tried"
    graph = read_yaml(project.root / "dvc.yaml")
    graph["stages"]["prepare"]["cmd"] = f"echo once >> {tried}; exit {code}"
    write_yaml(project.root / "dvc.yaml", graph)
    script = tmp_path / "flow.py"
    script.write_text(FLOW, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(project.root)],
        cwd=project.root, env=project.with_prefect(tmp_path / "prefect"), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert tried.read_text().split() == ["once"] * times
