"""DVC's experiments in temporary checkouts: their runs stay, and they leave each other and the main checkout alone."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.files import sha256_file
from pipelines.tracking.tracker import connect
from tests.support.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class DefaultHome(Project):
    """A project that keeps its state where it does by default."""

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in super().environment().items() if name != "DDPM_HOME"}


@pytest.fixture
def main(finished: Project) -> Iterator[DefaultHome]:
    """A finished project with its state in `.ddpm`, all of it committed."""
    shutil.move(finished.home, finished.root / ".ddpm")
    project = DefaultHome(finished.root, finished.root / ".ddpm")
    project.git("add", ".")
    project.git("commit", "--quiet", "--message=first run")
    yield project
    project.dvc("queue", "stop", "--kill")


def runs(home: Path) -> dict[str, Any]:
    """The finished trainings of the store that no output was needed to rebuild, by the experiment's name."""
    store = connect(home)
    found = store.client.search_runs([store.experiment], "attributes.status = 'FINISHED'")
    return {run.data.tags.get("dvc.experiment", ""): run for run in found if "restored" not in run.data.tags}


def left_of_checkouts(root: Path) -> list[Path]:
    return [path for path in (root / ".dvc" / "tmp" / "exps").rglob(".ddpm") if path.is_dir()]


def test_an_experiment_aside_leaves_its_run_in_the_main_checkout(main: DefaultHome) -> None:
    weights = main.read("out/weights.safetensors")
    done = main.dvc("exp", "run", "--temp", "-S", "train.lr=1e-3", "-n", "aside", timeout=1200)
    assert done.code == 0, done.text
    run = runs(main.home)["aside"]
    assert run.data.params["train.lr"] == "0.001"
    assert "loss" in run.data.metrics
    assert "gate" in run.data.tags
    assert main.read("out/weights.safetensors") == weights
    assert left_of_checkouts(main.root) == []
    assert main.dvc("exp", "apply", "aside").code == 0
    assert run.data.tags["ddpm.weights"] == sha256_file(main.root / "out" / "weights.safetensors")


def test_queued_experiments_and_the_main_checkout_train_at_once(main: DefaultHome) -> None:
    names = {"one": "1e-3", "two": "3e-3"}
    for name, rate in names.items():
        queued = main.dvc("exp", "run", "--queue", "-S", f"train.lr={rate}", "-n", name)
        assert queued.code == 0, queued.text
    started = main.dvc("queue", "start", "--jobs", "2")
    assert started.code == 0, started.text
    main.set_params({"train": {"lr": 4.0e-3}})
    own = main.ddpm("run", timeout=1200)
    assert own.code == 0, own.text
    deadline = time.monotonic() + 1200
    while (status := main.dvc("queue", "status").text).count("Success") < 2:
        assert "Failed" not in status, status + "".join(main.dvc("queue", "logs", name).text for name in names)
        assert time.monotonic() < deadline, status
        time.sleep(2)
    found = runs(main.home)
    assert {name: found[name].data.params["train.lr"] for name in names} == {"one": "0.001", "two": "0.003"}
    assert len({run.data.tags["ddpm.weights"] for run in found.values()}) == len(found) >= 3
    assert all("gate" in found[name].data.tags for name in names)
    assert left_of_checkouts(main.root) == []
    assert os.listdir(main.home / "spool") == []
