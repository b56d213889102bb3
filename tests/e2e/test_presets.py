"""A preset's project: from `ddpm init` to a champion in a folder of its own; nothing of the repository is touched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.versioning.dvc_repo import DvcRepo
from tests.e2e.test_points import SMALL
from tests.support.project import STAGES, Done, Project, tiny_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Project, Done]]:
    """A repository, the project of preset points in it after its first run, and what that said.

    The repository's code is the one that is installed.
    """
    repository = tiny_project(tmp_path_factory.mktemp("presets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(repository.root))
        yield from _points(repository)


def _points(repository: Project) -> Iterator[tuple[Project, Project, Done]]:
    assert repository.ddpm("init", "projects/points", "--preset", "points").code == 0
    root = repository.root / "projects" / "points"
    project = Project(root, root / ".ddpm")
    project.set_params(SMALL)
    yield repository, project, project.ddpm("run")


def test_it_goes_to_champion_and_a_second_run_runs_nothing(points: tuple[Project, Project, Done]) -> None:
    _, project, done = points
    assert done.code == 0, done.text
    assert done.ran() == list(STAGES)
    assert "is the first champion" in done.text
    again = project.ddpm("run")
    assert (again.code, again.ran(), again.unchanged()) == (0, [], list(STAGES))


def test_all_of_it_is_in_its_folder(points: tuple[Project, Project, Done]) -> None:
    repository, project, _ = points
    for place in ("dvc.lock", "out/gate.json", "data/shards", ".ddpm", ".dvc/cache"):
        assert (project.root / place).exists(), place
    untouched = ("dvc.lock", "out", "data/shards", ".dvc/cache", ".ddpm")
    assert [place for place in untouched if (repository.root / place).exists()] == []
    assert repository.call("git", "status", "--porcelain").text == ""
    assert DvcRepo(repository.root).order() == list(STAGES)


def test_an_edit_of_code_makes_its_stages_stale_and_taking_it_back_restores_them(
    points: tuple[Project, Project, Done],
) -> None:
    repository, project, _ = points
    file = repository.root / "pipelines" / "kinds" / "points" / "rows" / "prepare.py"
    before = file.read_bytes()
    file.write_bytes(before + b"# edited\n")
    assert project.ddpm("run", "--only", "code").code == 0
    stale = {name: DvcRepo(project.root).is_stale(name) for name in ("prepare", "train")}
    file.write_bytes(before)
    assert project.ddpm("run", "--only", "code").code == 0
    assert stale == {"prepare": True, "train": False}
    assert not DvcRepo(project.root).is_stale("prepare")


def test_compiled_code_makes_nothing_stale(points: tuple[Project, Project, Done]) -> None:
    repository, project, _ = points
    cache = Path(repository.root / "pipelines" / "kinds" / "points" / "rows" / "__pycache__")
    cache.mkdir(exist_ok=True)
    (cache / "other.cpython-399.pyc").write_bytes(b"x")
    assert project.ddpm("run", "--only", "code").code == 0
    assert not DvcRepo(project.root).is_stale("prepare")
