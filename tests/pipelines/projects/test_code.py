"""Digests of the installed code: which files count for which stage, and what real DVC makes of them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.files import json_bytes
from pipelines.params import read_yaml, stage_sections
from pipelines.paths import Paths
from pipelines.projects.code import GRAPH, code_digests, project_graph, write_code
from pipelines.projects.create import create, from_preset
from pipelines.versioning.dvc_lock import differences
from pipelines.versioning.dvc_repo import DvcRepo
from tests.support.imports import ROOT
from tests.support.project import STAGES

OWN = read_yaml(ROOT / "dvc.yaml")["stages"]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("graph")
    (place / "dvc.yaml").write_text(project_graph())
    assert stage_sections(place) == {"code": (), **stage_sections(ROOT)}
    return read_yaml(place / "dvc.yaml")


def test_a_project_s_graph_is_the_repository_s_with_digests_in_place_of_code(graph: dict[str, Any]) -> None:
    assert list(graph["stages"]) == ["code", *STAGES]
    assert {key: value for key, value in graph.items() if key != "stages"} == {
        key: value for key, value in read_yaml(ROOT / "dvc.yaml").items() if key != "stages"
    }
    for name in STAGES:
        mine, its = graph["stages"][name], OWN[name]
        assert mine["params"] == [*its["params"], {"code.json": [name]}]
        assert mine.get("deps", []) == [dep for dep in its["deps"] if not dep.startswith(("ddpm_core/", "pipelines/"))]
        for key in ("cmd", "outs", "metrics"):
            assert mine.get(key) == its.get(key)


def packages(folder: Path) -> Path:
    """Copies of our packages, to be edited."""
    for name in ("ddpm_core", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        ("pipelines/stages/gate.py", {"gate"}),
        ("pipelines/kinds/points/rows/table.py", {"prepare", "validate", "shard", "reference", "evaluate", "report"}),
        ("pipelines/kinds/pictures/rows/decode.py", set()),  # of another kind of data
        ("pipelines/kinds/points/training/notes.md", set()),
        ("pipelines/commands/init.py", set()),
    ],
)
def test_an_edit_changes_the_digests_of_the_stages_that_list_the_file(
    edited: str, stale: set[str], tmp_path: Path
) -> None:
    place = packages(tmp_path)
    before = code_digests("points", place, GRAPH)
    assert before == code_digests("points")
    with (place / edited).open("a") as file:
        file.write("# edited\n")
    after = code_digests("points", place, GRAPH)
    assert {name for name in STAGES if before[name] != after[name]} == stale
    listed = {
        name for name in STAGES if any(edited.startswith(dep.replace("${kind}", "points")) for dep in OWN[name]["deps"])
    }
    assert stale == (set() if edited.endswith(".md") else listed)


def test_a_new_a_renamed_and_an_absent_file_change_a_digest(tmp_path: Path) -> None:
    place = packages(tmp_path)
    folder = place / "pipelines" / "shards"
    found = [code_digests("points", place)["shard"]]
    (folder / "new.py").write_text("")
    found.append(code_digests("points", place)["shard"])
    (folder / "new.py").rename(folder / "other.py")
    found.append(code_digests("points", place)["shard"])
    assert len(set(found)) == 3
    (folder / "other.py").unlink()
    assert code_digests("points", place)["shard"] == found[0]


def pretending(folder: Path) -> DvcRepo:
    """A project whose stages write empty outputs, and whose stage `code` copies a file."""
    create(folder, from_preset("points", folder))
    graph = read_yaml(folder / "dvc.yaml")["stages"]
    lines = ["case $1 in", "code) cp digests.json code.json;;"]
    for name in STAGES:
        outs = [*graph[name]["outs"], *graph[name].get("metrics", [])]
        lines.append(f"{name}) mkdir -p data out; touch {' '.join(outs)};;")
    (folder / "fake.sh").write_text("\n".join([*lines, "esac\n"]))
    text = (folder / "dvc.yaml").read_text()
    head = next(line for line in text.splitlines() if line.startswith("  - ddpm:"))
    (folder / "dvc.yaml").write_text(text.replace(head, "  - ddpm: sh fake.sh"))
    say(folder, dict.fromkeys(STAGES, "1"))
    return DvcRepo(folder)


def say(folder: Path, digests: dict[str, str]) -> None:
    (folder / "digests.json").write_bytes(json_bytes(digests))


def run(repo: DvcRepo) -> list[str]:
    return [name for name in repo.order() if repo.run_stage(name)]


def test_real_dvc_reruns_stage_code_alone_then_what_its_code_changed_and_restores_what_it_knows(tmp_path: Path) -> None:
    repo = pretending(tmp_path)
    assert run(repo) == ["code", *STAGES]
    assert run(repo) == ["code"]
    assert differences(Paths.of(tmp_path)) == []
    say(tmp_path, {**dict.fromkeys(STAGES, "1"), "gate": "2"})
    repo.run_stage("code")
    (line,) = (line for line in differences(Paths.of(tmp_path)) if "gate" in line)
    assert line == "code.json: gate must be '1', with which stage gate ran (dvc.lock), got '2'"
    assert run(repo) == ["code", "gate"]
    say(tmp_path, dict.fromkeys(STAGES, "1"))
    (tmp_path / "fake.sh").write_text("test $1 = code && cp digests.json code.json\n")  # nothing else can run now
    assert run(repo) == ["code", "gate"]
    assert differences(Paths.of(tmp_path)) == []


def test_dvc_repro_does_the_same_without_us(tmp_path: Path) -> None:
    repo = pretending(tmp_path)
    assert repo.run_stage_by_command("code")
    assert not (tmp_path / "out").exists()
    from tests.support.project import Project

    project = Project(tmp_path, tmp_path / ".ddpm")
    assert project.dvc("repro").code == 0
    say(tmp_path, {**dict.fromkeys(STAGES, "1"), "report": "2"})
    again = project.dvc("repro").text
    assert [name for name in ("code", *STAGES) if f"Running stage '{name}'" in again] == ["code", "report"]


def test_the_digests_are_of_the_kind_that_params_yaml_names(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("kind: points\n")
    write_code(tmp_path)
    assert read_yaml(tmp_path / "code.json") == code_digests("points")
