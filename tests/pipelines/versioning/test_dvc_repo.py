"""The one module that knows DVC from inside: order, staleness, exit codes, a busy lock, and the way round."""

import errno
import itertools
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddpm_core.errors import DdpmError, ParamsError
from pipelines.versioning.dvc_repair import LockBusy, mend_rwlock
from pipelines.versioning.dvc_repo import DvcRepo, StageFailed, _code_in, use_this_environment

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
    with pytest.raises(StageFailed, match="stage fails failed with exit code 3; see its message above") as caught:
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
    told = pytest.raises(LockBusy, match=r"another DVC process has .* locked and did not release it within 0 s")
    with held_lock(folder), told:
        DvcRepo(folder, patience=0.0).run_stage("first")
    assert DvcRepo(folder).run_stage("first") is True


def test_who_has_the_lock_is_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.06)
    clock = SimpleNamespace(monotonic=itertools.count().__next__, sleep=lambda seconds: None)
    monkeypatch.setattr("pipelines.versioning.dvc_repo.time", clock)
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    use = {"write": {str(folder / "b.txt"): {"pid": os.getppid(), "cmd": "ddpm run"}}, "read": {}}
    with held_lock(folder), caplog.at_level("INFO"):
        rwlock.write_text(json.dumps(use), encoding="utf-8")
        with pytest.raises(LockBusy, match=rf"process {os.getppid()} \(since \d\d:\d\d:\d\d\) has .* locked"):
            DvcRepo(folder, patience=5.0).run_stage("first")
    said = [record.message for record in caplog.records if "waiting" in record.message]
    assert len(said) == 1
    assert said[0].startswith(f"process {os.getppid()} (since ")
    assert said[0].endswith("waiting at most 5 s")


def test_a_full_cache_is_one_error_that_names_it(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.exceptions import ReproductionError

    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(*_words: object, **_more: object) -> None:
        logging.getLogger("dvc_data.hashfile.transfer").error("failed to transfer", exc_info=error)
        raise ReproductionError("first") from error

    monkeypatch.setattr("dvc.repo.Repo.reproduce", full)
    with pytest.raises(OSError, match="No space left") as failed:
        DvcRepo(folder).run_stage("first")
    assert str(failed.value.filename).startswith(str(folder / ".dvc" / "cache"))
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("damage", [b"", b'{"write": {"/a', b"[]", b"\xff\x00"])
def test_list_of_files_in_use_that_a_kill_damaged_is_mended(
    folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    place = folder / ".dvc" / "tmp" / "rwlock"
    place.write_bytes(damage)
    assert DvcRepo(folder).run_stage("first") is True
    assert f"removed {place}: it was damaged" in caplog.text
    assert DvcRepo(folder).is_stale("first") is False
    assert caplog.text.count("damaged") == 1


def test_damaged_list_of_files_in_use_is_left_while_somebody_works_there(folder: Path) -> None:
    place = folder / ".dvc" / "tmp" / "rwlock"
    place.write_bytes(b"")
    environment = {**os.environ, "DVC_ROOT": str(folder)}
    code = "import signal; print('ready', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        try:
            with pytest.raises(LockBusy, match=rf"rwlock must list .* process {worker.pid} still works in"):
                mend_rwlock(folder)
        finally:
            worker.kill()
    assert place.exists()
    mend_rwlock(folder)
    assert not place.exists()


@pytest.mark.parametrize("text", ["stages: {", "schema: '2.0'\nstages:\n  first:\n    cmd: cat\n    outs:\n    - pat"])
def test_lock_file_that_a_kill_damaged_is_put_aside_and_nothing_runs_again(
    folder: Path, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = DvcRepo(folder)
    repo.run_stage("first")
    monkeypatch.setattr("dvc.stage.run._run", lambda *words, **more: pytest.fail("a command was run"))
    whole = (folder / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_text(text, encoding="utf-8")
    assert repo.is_stale("first")
    repo.run_stage("first")
    assert (folder / "dvc.lock").read_bytes() == whole
    assert "dvc.lock was damaged" in caplog.text
    assert (folder / ".dvc" / "tmp" / "dvc.lock.damaged").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_the_disk_refuses_to_dvc_is_raised_as_such(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuses(*words: object, **more: object) -> None:
        raise OSError(number, os.strerror(number), str(folder / "dvc.lock"))

    monkeypatch.setattr("dvc.utils.serialize._common.open", refuses, raising=False)
    monkeypatch.setattr("dvc.dvcfile.Lockfile.dump", refuses)
    with pytest.raises(OSError, match=r"dvc\.lock") as caught:
        DvcRepo(folder).run_stage("first")
    assert caught.value.errno == number


def test_full_or_damaged_databases_of_dvc_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **more: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("dvc.stage.Stage.save_outs", full)
    with pytest.raises(DdpmError, match=r"DVC must be able to write .*disk is full.* \.dvc/tmp and "):
        DvcRepo(folder).run_stage("first")


def test_missing_input_and_unknown_stage_are_told(folder: Path) -> None:
    (folder / "a.txt").unlink()
    for act in (DvcRepo(folder).run_stage, DvcRepo(folder).is_stale):
        with pytest.raises(ParamsError, match=r"stage first could not be started: .*a\.txt"):
            act("first")
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
