"""What needs the pipeline twice, a remote, or DVC's experiments: run by `make test-all`."""

import json
import sys
from pathlib import Path

import pytest

from pipelines.commands.stages import STAGES
from tests.support.project import Done, Project, tiny_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_two_runs_from_empty_caches_give_the_same_lock_file(chain: tuple[Project, Done], tmp_path: Path) -> None:
    first, _ = chain
    second = tiny_project(tmp_path)
    done = second.dvc("repro")
    assert done.code == 0, done.text
    assert second.read("dvc.lock") == first.read("dvc.lock")


def test_clone_that_pulls_trains_nothing_and_shows_run_and_champion(finished: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    assert finished.dvc("remote", "add", "--default", "store", str(remote)).code == 0
    pushed = finished.dvc("push")
    assert pushed.code == 0, pushed.text
    finished.git("add", ".")
    finished.git("commit", "--quiet", "--message=run")
    clone = Project(tmp_path / "clone", tmp_path / "empty-home")
    finished.git("clone", "--quiet", str(finished.root), str(clone.root))
    pulled = clone.dvc("pull")
    assert pulled.code == 0, pulled.text
    done = clone.ddpm("run")
    assert done.code == 0, done.text
    assert done.ran() == []
    assert done.unchanged() == list(STAGES)
    assert "is the first champion" in done.text
    run = restored_run(clone)
    assert run["metrics"] >= {"loss", "evaluate/fcd_train"}
    assert run["params"] >= {"train.lr", "source.kind"}


def restored_run(project: Project) -> dict[str, set[str]]:
    """The names of what the one run in the project's store holds."""
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom mlflow import MlflowClient\n"
        "from pipelines.tracking.tracker import store_uri\n"
        "client = MlflowClient(store_uri(Path(sys.argv[1])))\n"
        "ids = [e.experiment_id for e in client.search_experiments()]\n"
        "(run,) = client.search_runs(ids)\n"
        "print(json.dumps({'metrics': list(run.data.metrics), 'params': list(run.data.params)}))\n"
    )
    done = project.call(sys.executable, "-c", code, str(project.home))
    assert done.code == 0, done.text
    return {name: set(values) for name, values in json.loads(done.lines()[-1]).items()}


def test_dvc_s_own_commands_work(finished: Project) -> None:
    finished.git("add", ".")
    finished.git("commit", "--quiet", "--message=run")
    assert "train" in finished.dvc("dag").text
    shown = finished.dvc("metrics", "show")
    assert shown.code == 0, shown.text
    assert "fcd_train" in shown.text
    finished.set_params({"gate": {"max_energy": 5.0e8}})
    diff = finished.dvc("params", "diff")
    assert diff.code == 0, diff.text
    assert "max_energy" in diff.text
    plots = finished.dvc("plots", "show")
    assert plots.code == 0, plots.text
    run = finished.dvc("exp", "run", "-S", "train.lr=1e-3", "--name", "slower")
    assert run.code == 0, run.text
    for stage in ("prepare", "validate", "shard", "reference"):
        assert f"Running stage '{stage}'" not in run.text
    assert "Running stage 'train'" in run.text
    table = finished.dvc("exp", "show", "--csv")
    assert table.code == 0, table.text
    assert "slower" in table.text
    assert "fcd_train" in finished.dvc("metrics", "diff").text
