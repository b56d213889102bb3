"""dvc.lock held against what lies here: nothing is told of a run as it was, and one line of each thing that differs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.authenticity import read_own, with_own_digest
from pipelines.gate import gate_file
from pipelines.gate.record import judge
from pipelines.params import read_yaml
from pipelines.paths import Paths
from pipelines.tracking.run_params import NOT_RECORDED, told
from pipelines.versioning.dvc_lock import differences
from tests.support.project import write_yaml
from tests.support.tracked import GATE, FewParams, judged_project, lock_as_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    judged_project(folder / "project", folder / "home")
    return folder


@pytest.fixture
def paths(finished: Path, tmp_path: Path) -> Paths:
    shutil.copytree(finished / "project", tmp_path / "project")
    return Paths(tmp_path / "project", tmp_path / "home")


def edited(path: Path, change: Callable[[Any], object]) -> None:
    content = read_yaml(path)
    change(content)
    write_yaml(path, content)


def test_of_a_run_as_it_was_nothing_is_told(paths: Paths) -> None:
    assert differences(paths) == []


def test_a_file_that_kept_its_time_and_size_is_told_with_both_digests(paths: Paths) -> None:
    assert differences(paths) == []  # DVC knows its digest now
    before = paths.metrics.stat()
    with paths.metrics.open("r+b") as file:
        file.write(paths.metrics.read_bytes().replace(b"0.05", b"0.01"))
    os.utime(paths.metrics, ns=(before.st_atime_ns, before.st_mtime_ns))
    (line,) = differences(paths)
    assert line.startswith("out/metrics.json: must have md5 ")
    assert "which dvc.lock says of an output of stage evaluate, got md5 " in line


def test_a_parameter_that_was_edited_is_told_by_its_key_with_both_values(paths: Paths) -> None:
    edited(paths.params, lambda params: params["gate"].update(max_energy=80.0))
    said = "gate.max_energy must be 0.1, with which stage gate ran (dvc.lock), got 80.0"
    assert differences(paths) == [f"params.yaml: {said}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lock: lock.pop("stages"), "dvc.lock: must be as DVC writes it"),
        (lambda lock: lock.update(schema="1.0"), "dvc.lock: must say schema: '2.0'"),
        (lambda lock: lock["stages"].pop("gate"), "dvc.lock: must name stage gate, which has not finished here"),
        (lambda lock: lock["stages"].update(more={"cmd": "x"}), "dvc.lock: must name the stages of dvc.yaml alone"),
        (lambda lock: lock["stages"]["gate"].update(cmd="true"), "dvc.lock: cmd of stage gate must be 'ddpm gate'"),
        (lambda lock: lock["stages"]["gate"].update(outs=[]), "dvc.lock: must name out/gate.json as an output"),
        (lambda lock: lock["stages"]["gate"]["outs"][0].pop("hash"), "out/gate.json of stage gate must say hash: md5"),
        (lambda lock: lock["stages"]["gate"]["outs"][0].update(path=3), "is listed twice, or is not a path"),
        (lambda lock: lock["stages"]["gate"].update(outs=3), "dvc.lock: must be as DVC writes it"),
        (
            lambda lock: lock["stages"]["gate"]["deps"][0].update(size=1),
            "must have size 1, which dvc.lock says of a dep",
        ),
        (lambda lock: lock["stages"]["export"]["outs"][0].update(md5="0" * 32 + ".dir"), "out/bundle: must have md5 0"),
        (lambda lock: lock["stages"]["gate"]["outs"].append(lock["stages"]["gate"]["outs"][0]), "is listed twice"),
    ],
)
def test_a_lock_that_was_edited_is_told(paths: Paths, change: Callable[[Any], object], said: str) -> None:
    edited(paths.root / "dvc.lock", change)
    assert any(said in line for line in differences(paths)), differences(paths)


@pytest.mark.parametrize("text", [None, "{", "- a\n", "stages: [a"])
def test_a_lock_that_cannot_be_read_is_told(paths: Paths, text: str | None) -> None:
    lock = paths.root / "dvc.lock"
    lock.unlink() if text is None else lock.write_text(text)
    (line,) = differences(paths)
    assert line.startswith("dvc.lock: must be ")


def test_a_verdict_names_its_limits_and_what_it_rests_on(paths: Paths) -> None:
    judged, _ = judge(paths, GATE)
    assert list(gate_file.differences(judged, GATE, paths)) == []
    from dataclasses import replace

    lax = replace(GATE, max_energy=80.0)
    (line,) = (line for line in gate_file.differences(judged, lax, paths) if line.startswith("params.yaml"))
    assert line == "params.yaml: gate.max_energy must be 0.1, by which out/gate.json was given, got 80.0"
    paths.record.write_bytes(b"{}")
    (line,) = gate_file.differences(judged, GATE, paths)
    assert line.startswith("out/record.json: must have SHA-256 ")
    paths.gate.unlink()
    assert list(gate_file.differences(judged, GATE, paths)) == [
        "out/gate.json: must be the verdict of stage gate, and there is none"
    ]


def test_a_verdict_that_does_not_follow_is_told_though_its_own_digest_agrees(paths: Paths) -> None:
    judged, _ = judge(paths, GATE)
    paths.gate.write_bytes(with_own_digest({**read_own(paths.gate), "outcome": "fail"}))
    (line,) = gate_file.differences(judged, GATE, paths)
    assert line.startswith("out/gate.json: outcome must be 'pass', which follows from the measurement and the limits")


def test_parameters_of_a_run_come_from_the_lock_and_not_from_todays_params(paths: Paths) -> None:
    edited(paths.params, lambda params: params["train"].update(lr=9.0))
    found = told("train", paths, None)
    assert found["train.lr"] == 0.001
    assert {value for name, value in found.items() if name.startswith("runtime.")} == {NOT_RECORDED}
    assert told("gate", paths, None)["gate.max_energy"] == 0.1
    own: Any = FewParams()
    assert told("train", paths, own)["train.lr"] == 0.001
    assert not any(name.startswith("runtime.") for name in told("train", paths, own))


def test_files_that_dvc_passes_over_are_in_no_digest(paths: Paths) -> None:
    edited(paths.root / "dvc.yaml", lambda graph: graph["stages"]["export"].update(params=["train"]))
    (paths.root / ".dvcignore").write_text("# left by editors\n*.tmp\n")
    lock_as_run(paths)
    (paths.bundle / "left.tmp").touch()
    assert told("evaluate", paths, None)["train.lr"] == 0.001
    (paths.bundle / "left.txt").touch()
    assert "train.lr" not in told("evaluate", paths, None)


def test_of_outputs_that_the_lock_does_not_name_no_parameters_are_known(paths: Paths) -> None:
    paths.curves.write_text("step,loss\n1,0.5\n")
    assert not any(name.startswith("train.") for name in told("train", paths, None))
    (paths.root / "dvc.lock").unlink()
    assert told("gate", paths, None) == {}
