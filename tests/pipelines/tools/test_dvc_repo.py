"""The one module that knows DVC from inside: order, staleness, exit codes, a busy lock, and the way round."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ddpm_core.errors import DdpmError, ParamsError
from pipelines.tools.dvc_repo import DvcRepo, LockBusy, StageFailed, _code_in, use_this_environment

GRAPH = """
stages:
  last:
    cmd: cat b.txt > c.txt
    deps: [b.txt]
    outs: [c.txt]
  first:
    cmd: cat a.txt > b.txt
    deps: [a.txt]
    outs: [b.txt]
  fails:
    cmd: exit 3
    deps: [c.txt]
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little project with no git, of which each test gets a copy."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "dvc.yaml").write_text(GRAPH, encoding="utf-8")
    (folder / "a.txt").write_text("a", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    return folder


@pytest.fixture
def folder(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "project"))


def test_order_follows_the_graph_and_not_the_file(folder: Path) -> None:
    assert DvcRepo(folder).order() == ["first", "last", "fails"]


def test_warning_of_dvc_is_written_once_and_not_by_its_own_handlers(
    folder: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    DvcRepo(folder).order()
    logging.getLogger("dvc.lock").warning("a lock is waited for")
    logging.getLogger("dvc.repo").info("a stage did not change")
    assert [record.message for record in caplog.records if record.name.startswith("dvc")] == ["a lock is waited for"]
    assert capsys.readouterr() == ("", "")


def test_stage_runs_once_and_again_when_its_input_changes(folder: Path) -> None:
    repo = DvcRepo(folder)
    assert repo.is_stale("first")
    assert repo.run_stage("first") is True
    assert not repo.is_stale("first")
    assert repo.run_stage("first") is False
    (folder / "a.txt").write_text("another", encoding="utf-8")
    assert repo.run_stage("first") is True
    assert (folder / "b.txt").read_text(encoding="utf-8") == "another"


def test_asking_whether_a_stage_is_stale_runs_nothing(folder: Path) -> None:
    assert DvcRepo(folder).is_stale("first")
    assert not (folder / "b.txt").exists()


def test_failing_stage_gives_its_own_exit_code_either_way(folder: Path) -> None:
    repo = DvcRepo(folder)
    repo.run_stage("first")
    repo.run_stage("last")
    with pytest.raises(StageFailed, match="stage fails failed with exit code 3; its message stands above") as caught:
        repo.run_stage("fails")
    assert caught.value.exit_code == 3
    with pytest.raises(StageFailed) as caught:
        repo.run_stage_by_command("fails")
    assert caught.value.exit_code == 3


def test_command_line_of_dvc_does_the_same(folder: Path) -> None:
    repo = DvcRepo(folder)
    assert repo.run_stage_by_command("first") is True
    assert repo.run_stage_by_command("first") is False


def test_another_inside_of_dvc_is_gone_round(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = DvcRepo(folder)

    def gone(name: str, *, dry: bool, force: bool) -> bool:
        raise AttributeError("reproduce")

    monkeypatch.setattr(repo, "_reproduce", gone)
    assert repo.run_stage("first") is True
    assert (folder / "b.txt").exists()


@contextmanager
def held_lock(folder: Path) -> Iterator[None]:
    from dvc.repo import Repo

    with Repo(str(folder)) as repo, repo.lock:
        yield


def test_busy_lock_is_waited_for_and_then_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.06)
    told = pytest.raises(LockBusy, match=r"another DVC process holds .* and did not let go within 0 s")
    with held_lock(folder), told:
        DvcRepo(folder, patience=0.0).run_stage("first")
    assert DvcRepo(folder).run_stage("first") is True


def test_missing_input_and_unknown_stage_are_told(folder: Path) -> None:
    (folder / "a.txt").unlink()
    with pytest.raises(ParamsError, match=r"stage first could not be started: .*a\.txt"):
        DvcRepo(folder).run_stage("first")
    with pytest.raises(DdpmError, match="DVC could not run stage nothing"):
        DvcRepo(folder).run_stage("nothing")


def test_broken_graph_is_told(folder: Path) -> None:
    (folder / "dvc.yaml").write_text("stages:\n  a: {}\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"dvc\.yaml: must be a graph that DVC can read"):
        DvcRepo(folder).order()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("failed to run: ddpm gate, exited with 3", 3),
        ("ERROR: ... exited with -9", 137),
        ("exited with 143\n", 143),
        ("no code", 1),
    ],
)
def test_exit_code_is_read_from_what_dvc_says(text: str, code: int) -> None:
    assert _code_in(text) == code


def test_this_installation_comes_first_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    use_this_environment()
    use_this_environment()
    assert os.environ["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin"])
