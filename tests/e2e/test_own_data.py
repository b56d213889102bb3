"""A project for one's own data, outside of any repository, on the package as its wheel installs it."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.params import read_yaml
from tests.e2e.test_points import SMALL, write_rings
from tests.support.imports import ROOT
from tests.support.prefect_server import every_minute, prefect_server
from tests.support.project import STAGES, Done, Project, write_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

SOURCES = ("ddpm_core", "pipelines", ".dvc/plots", "dvc.yaml", "params.yaml", "pyproject.toml", "README.md", "LICENSE")


def installed(folder: Path) -> Path:
    """The wheel's content in a folder of its own."""
    source, site = folder / "source", folder / "site"
    for name in SOURCES:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(place, source / name)
    source.joinpath("dist").mkdir()
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    subprocess.run([sys.executable, "-c", build], check=True, cwd=source, capture_output=True)
    (wheel,) = source.joinpath("dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Path, Done]]:
    """The project after its first run, the installed package, and what the run said."""
    folder = tmp_path_factory.mktemp("own")
    site = installed(folder)
    write_rings(folder / "rings.csv", 1200)
    (folder / "work").mkdir()
    project = Project(folder / "work" / "rings", folder / "work" / "rings" / ".ddpm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        elsewhere = Project(folder, folder)
        made = elsewhere.ddpm("init", str(project.root), "--data", str(folder / "rings.csv"))
        assert made.code == 0, made.text
        assert "Cost of a run" in made.text
        project.set_params(SMALL)
        yield project, site, project.ddpm("run")


def test_it_goes_to_champion_and_a_second_run_looks_at_the_code_alone(rings: tuple[Project, Path, Done]) -> None:
    project, _, done = rings
    assert done.code == 0, done.text
    assert done.ran() == list(STAGES)
    assert "is the first champion" in done.text
    again = project.ddpm("run")
    assert (again.code, again.ran(), again.unchanged()) == (0, [], list(STAGES))
    assert read_yaml(project.root / "params.yaml")["source"]["class_column"] == "ring"


def test_an_upgrade_reruns_what_uses_the_changed_module_alone(rings: tuple[Project, Path, Done]) -> None:
    project, site, _ = rings
    file = site / "pipelines" / "kinds" / "points" / "report" / "sections.py"
    before = file.read_bytes()
    file.write_bytes(before + b"# edited\n")
    done = project.ddpm("run")
    file.write_bytes(before)
    assert (done.code, done.ran()) == (0, ["report"]), done.text
    assert project.ddpm("run").code == 0


def test_its_deployment_runs_on_schedule(rings: tuple[Project, Path, Done], tmp_path: Path) -> None:
    project, _, _ = rings
    deployment = project.root / "prefect.yaml"
    before = deployment.read_bytes()
    write_yaml(deployment, every_minute(read_yaml(deployment)))
    with prefect_server(project, tmp_path) as server:
        server.call("--no-prompt", "deploy", "--name", "nightly-rings")
        run = server.first_run_to_end(600)
    deployment.write_bytes(before)
    assert (run["state_type"], run["auto_scheduled"]) == ("COMPLETED", True), server.worker_says()


def test_pushed_and_pulled_on_another_path_nothing_is_trained(rings: tuple[Project, Path, Done]) -> None:
    project, _, _ = rings
    folder = project.root.parents[1]
    assert project.dvc("remote", "add", "-d", "store", str(folder / "store")).code == 0
    assert project.dvc("push").code == 0
    project.git("add", ".")
    project.git("commit", "--quiet", "--message=done")
    other = Project(folder / "elsewhere" / "rings", folder / "elsewhere" / "rings" / ".ddpm")
    shutil.copytree(project.root / ".git", other.root / ".git")
    other.git("reset", "--quiet", "--hard")
    source = read_yaml(other.root / "params.yaml")["source"]["path"]
    assert os.path.isabs(source) or (other.root / source).exists()
    assert other.dvc("pull").code == 0
    done = other.ddpm("run")
    assert (done.code, done.ran()) == (0, []), done.text
