"""Directories of trainings: another identity is another training, old ones are pruned, one process has each."""

import fcntl
import json
import logging
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_core.errors import Stopped, TryAgain
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.run_folders import RunFolders, differences, finish, key_of, outputs_of, start_over

CPU = "a CPU with AVX512"


def identity(**changes: Any) -> dict[str, Any]:
    return {"train": {"lr": 0.1, "betas": (0.9, 0.99)}, "code": {"a.py": "a" * 64}, "threads": 2, **changes}


def interrupted(folders: RunFolders, of: dict[str, Any], step: int = 5, age: int = 0) -> Path:
    """A training that saved and was killed, so many seconds ago."""
    with folders.locked(of, CPU) as place:
        Checkpoints(place, 2).save(step, {"w": torch.ones(2)}, {})
    saved = place / f"step-{step:08d}"
    then = saved.stat().st_mtime - age
    os.utime(saved, (then, then))
    return place


def test_a_training_has_its_own_folder_and_says_there_what_it_is(tmp_path: Path) -> None:
    folders = RunFolders(tmp_path, 2)
    with folders.locked(identity(), CPU) as place:
        assert place == tmp_path / key_of(identity())[:32]
    about = json.loads((place / "training.json").read_text())
    assert about == {"identity": json.loads(json.dumps(identity())), "machine": CPU, "threads": []}
    assert folders.folder(identity(threads=1)) != place


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threads": 1}, "threads (2 before, 1 now); this one starts"),
        ({"train": {"lr": 0.2, "betas": (0.9, 0.99)}}, "train.lr (0.1 before, 0.2 now); this"),
        ({"train": {"lr": 0.1, "betas": (0.8, 0.99)}}, "train.betas ([0.9, 0.99] before, [0.8, 0.99] now); this"),
        ({"train": {"lr": 0.1, "betas": (0.9, 0.99), "n": 1}}, "train.n (none before, 1 now); this"),
        ({"code": {"a.py": "b" * 64}}, "differs in code.a.py; this one starts"),
        ({str(n): n for n in range(6)}, "3 (none before, 3 now) and 2 more; this one starts"),
    ],
)
def test_what_differs_from_the_newest_other_training_is_said_in_one_line(
    tmp_path: Path, change: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    folders = RunFolders(tmp_path, 2)
    interrupted(folders, identity(), 7)
    with caplog.at_level(logging.INFO), folders.locked(identity(**change), CPU):
        pass
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the newest checkpoint is of another training (step 7), which differs in ")
    assert said in caplog.text


def test_the_same_training_again_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    interrupted(RunFolders(tmp_path, 2), identity())
    with caplog.at_level(logging.INFO), RunFolders(tmp_path, 2).locked(identity(), CPU):
        pass
    assert caplog.messages == []


def test_threads_of_updates_that_were_lost_are_told_no_more(tmp_path: Path) -> None:
    """Twice it went on from the same step, for what came between was never saved; so it does after a roll back."""
    folders = RunFolders(tmp_path, 2)
    interrupted(folders, identity(), 10)
    assert folders.record_threads(identity(), 0, 2) == [[0, 2]]
    assert folders.record_threads(identity(), 10, 2) == [[0, 2]]
    assert folders.record_threads(identity(), 10, 4) == [[0, 2], [10, 4]]
    assert folders.record_threads(identity(), 10, 3) == [[0, 2], [10, 3]]
    assert folders.record_threads(identity(), 6, 2) == folders.threads(identity()) == [[0, 2]]


def test_going_on_on_another_machine_is_allowed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    interrupted(RunFolders(tmp_path, 2), identity())
    with RunFolders(tmp_path, 2).locked(identity(), "a CPU with AVX2"):
        pass
    assert "began on a CPU with AVX512 and continues on a CPU with AVX2" in caplog.text


def test_the_newest_others_stay_and_older_ones_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    generous, strict = RunFolders(tmp_path, 9), RunFolders(tmp_path, 2)
    places = [interrupted(generous, identity(threads=n), age=100 - n) for n in range(5)]
    with generous.locked(identity(threads=9), CPU) as empty:
        pass  # killed before its first checkpoint
    (places[4] / ".step-00000006.x.part").mkdir()
    with caplog.at_level(logging.INFO), strict.locked(identity(), CPU) as own:
        assert own == places[2]
    assert sorted(tmp_path.iterdir()) == sorted([places[2], places[3], places[4]])
    assert not empty.exists()
    assert not (places[4] / ".step-00000006.x.part").exists()
    assert "removed the checkpoints of 2 other training(s); the newest 2 are kept" in caplog.text


def test_a_training_that_another_process_runs_is_neither_pruned_nor_run_twice(tmp_path: Path) -> None:
    folders = RunFolders(tmp_path, 0)
    with folders.locked(identity(), CPU) as place:
        with folders.locked(identity(threads=1), CPU):
            assert place.exists()
        with pytest.raises(TryAgain, match=rf"by one process, but process {os.getpid()} has .* locked") as told:
            folders.locked(identity(), CPU, patience=0.0).__enter__()
        assert told.value.exit_code == 75
    with folders.locked(identity(threads=1), CPU):
        assert not place.exists()


def test_a_training_that_another_process_leaves_is_waited_for_and_the_wait_can_be_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders, other = RunFolders(tmp_path, 0), ExitStack()
    other.enter_context(folders.locked(identity(), CPU))
    with pytest.raises(Stopped):
        folders.locked(identity(), CPU, should_stop=lambda: True).__enter__()

    def leaves() -> bool:
        other.close()
        return False

    with caplog.at_level(logging.INFO), folders.locked(identity(), CPU, should_stop=leaves):
        pass
    assert f"process {os.getpid()} runs this training; waiting for it" in caplog.text


def test_a_folder_that_is_pruned_while_a_training_takes_it_is_made_anew_and_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, calls = fcntl.flock, []

    def swept_before(file: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            shutil.rmtree(folders.folder(identity()))
        flock(file, how)

    folders = RunFolders(tmp_path, 2)
    monkeypatch.setattr(fcntl, "flock", swept_before)
    with folders.locked(identity(), CPU) as place:
        assert (place / "training.json").is_file()
        with pytest.raises(TryAgain), folders.locked(identity(), CPU, patience=0):
            pass


def test_two_trainings_that_prune_at_once_do_not_meet_in_what_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = RunFolders(tmp_path, 0)
    old = [interrupted(RunFolders(tmp_path, 9), identity(threads=n), age=n) for n in (5, 6)]
    flock = fcntl.flock

    def other_sweeps(file: Any, how: int) -> None:
        flock(file, how)
        for place in old:
            shutil.rmtree(place, ignore_errors=True)

    monkeypatch.setattr(fcntl, "flock", other_sweeps)
    with folders.locked(identity(), CPU) as place:
        assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == [place]


def test_a_finished_training_keeps_its_last_checkpoint_until_another_one_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = RunFolders(tmp_path, 2)
    interrupted(folders, identity(), 5)
    place = interrupted(folders, identity(), 9)
    assert outputs_of(place) is None
    finish(place, {"weights": "abc"})
    with caplog.at_level(logging.INFO):
        with folders.locked(identity(), CPU):
            assert Checkpoints(place, 2).steps() == [9]
            assert outputs_of(place) == {"weights": "abc"}
        with folders.locked(identity(threads=1), CPU):
            assert not place.exists()
    assert caplog.messages == []


def test_a_finished_training_can_be_begun_anew(tmp_path: Path) -> None:
    place = interrupted(RunFolders(tmp_path, 2), identity(), 9)
    finish(place, {"weights": "abc"})
    start_over(place)
    assert (outputs_of(place), Checkpoints(place, 1).steps()) == (None, [])


def test_a_folder_of_an_older_version_is_named_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Checkpoints(tmp_path / "old", 2).save(3, {"w": torch.ones(2)}, {})
    with caplog.at_level(logging.INFO), RunFolders(tmp_path, 1).locked(identity(), CPU):
        pass
    assert "(step 3), which differs in an older version of this software; this one starts" in caplog.text


def test_equal_identities_have_no_differences() -> None:
    assert differences(identity(), identity()) == []
