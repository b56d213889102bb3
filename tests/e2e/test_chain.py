"""The whole way on 8 x 8 digits: pictures to champion, and what runs again after which change."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.commands.stages import STAGES
from pipelines.params import read_yaml
from pipelines.versioning.dvc_repo import DvcRepo
from tests.support.project import Done, Project, write_yaml

pytestmark = pytest.mark.timeout(1200)  # the first of them waits for the whole chain


def test_first_run_runs_every_stage_in_order_and_promotes(chain: tuple[Project, Done]) -> None:
    project, done = chain
    assert done.code == 0, done.text
    if done.text:
        assert done.ran() == list(STAGES)
        assert "is the first champion" in done.text
        assert "Traceback" not in done.text
    gate = json.loads(project.read("out/gate.json"))
    assert gate["outcome"] == "pass"


def test_run_ends_by_saying_where_things_are_and_they_are_there(chain: tuple[Project, Done]) -> None:
    project, done = chain
    for place in ("out/samples/grid.png", "out/report/index.html", "out/bundle/bundle.json"):
        assert (project.root / place).is_file()
    if done.text:
        for word in ("sample grid", "report", "bundle", "ddpm ui"):
            assert word in done.text


def test_outputs_tell_no_path_of_this_machine(chain: tuple[Project, Done]) -> None:
    project, _ = chain
    for path in sorted((project.root / "out").rglob("*")):
        if path.is_file():
            assert str(project.root).encode() not in path.read_bytes(), path


def test_second_run_runs_nothing_and_changes_nothing(finished: Project) -> None:
    lock = finished.read("dvc.lock")
    done = finished.ddpm("run")
    assert done.code == 0, done.text
    assert done.ran() == []
    assert done.unchanged() == list(STAGES)
    assert "is the champion already; nothing was changed" in done.text
    assert finished.read("dvc.lock") == lock


def test_failing_gate_reruns_report_and_gate_alone_and_exits_3_with_its_report(finished: Project) -> None:
    finished.set_params({"gate": {"max_energy": 1.0e-9}})
    (finished.root / "out" / "report" / "index.html").unlink()
    done = finished.ddpm("run")
    assert done.code == 3, done.text
    assert done.ran() == ["report", "gate"]
    assert "stage gate failed with exit code 3; see its message above" in done.text
    assert "the model does not pass the gate" in done.text
    assert (finished.root / "out" / "report" / "index.html").is_file()
    assert "champion" not in done.text


def test_a_stage_is_a_file_and_an_entry_of_the_graph(finished: Project) -> None:
    shutil.copy(Path(__file__).with_name("own_stage.py"), finished.root / "pipelines" / "stages" / "count_files.py")
    graph = read_yaml(finished.root / "dvc.yaml")
    graph["stages"]["count_files"] = {
        "cmd": f"{sys.executable} -m pipelines.cli count_files",  # of this clone, not the one that is installed
        "params": ["report"],
        "deps": ["out/report", "pipelines/stages/count_files.py"],
        "outs": ["out/count.json"],
    }
    write_yaml(finished.root / "dvc.yaml", graph)
    done = finished.ddpm("run", "--no-promote")
    assert done.code == 0, done.text
    assert done.ran() == []
    assert "index.html" in json.loads(finished.read("out/count.json"))["files"]
    assert "how many files the report has" in finished.ddpm("--help").text
    again = finished.ddpm("run", "--only", "count_files")
    assert any(line.split() == ["count_files", "unchanged"] for line in again.lines()), again.text


def test_learning_rate_makes_no_stage_before_training_stale(finished: Project) -> None:
    finished.set_params({"train": {"lr": 1.0e-3}})
    stale = [name for name in STAGES if DvcRepo(finished.root).is_stale(name)]
    assert stale == ["train"]  # what follows is stale once its weights are others


def test_edit_of_a_sampler_makes_export_stale_and_training_not(finished: Project) -> None:
    path = finished.root / "ddpm_core" / "samplers" / "ddim.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# another\n", encoding="utf-8")
    stale = [name for name in STAGES if DvcRepo(finished.root).is_stale(name)]
    assert stale == ["export", "evaluate"]


def test_moving_to_another_device_makes_nothing_stale(finished: Project) -> None:
    finished.set_params({"runtime": {"device": "cuda", "threads": 8, "workers": 2, "tracking": False}})
    assert [name for name in STAGES if DvcRepo(finished.root).is_stale(name)] == []


def test_lost_output_is_restored_from_the_cache_without_running(finished: Project) -> None:
    weights = finished.read("out/weights.safetensors")
    (finished.root / "out" / "weights.safetensors").unlink()
    assert finished.dvc("checkout").code == 0
    assert finished.read("out/weights.safetensors") == weights
    assert [name for name in STAGES if DvcRepo(finished.root).is_stale(name)] == []


def test_sampling_by_command_gives_the_same_bytes_for_the_same_seed(
    chain: tuple[Project, Done], tmp_path: Path
) -> None:
    project, _ = chain
    for name in ("a", "b"):
        out = str(tmp_path / f"{name}.npz")
        done = project.ddpm("sample", "--n", "6", "--label", "3,none", "--seed", "4", "--out", out)
        assert done.code == 0, done.text
    with np.load(tmp_path / "a.npz") as a:
        assert a["images"].shape == (6, 1, 8, 8)
        assert a["labels"].tolist() == [3, -1, 3, -1, 3, -1]
        assert a["seeds"].tolist() == [4, 5, 6, 7, 8, 9]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_tiny_parameters_name_no_unknown_key() -> None:
    from tests.support.project import TINY

    assert set(read_yaml(TINY)) <= {
        "source",
        "reference",
        "model",
        "diffusion",
        "train",
        "sample",
        "evaluate",
        "gate",
        "runtime",
    }
