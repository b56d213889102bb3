"""A training on a full disk goes on, and its last checkpoint stays."""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest
import tiny

from ddpm_core.training import checkpoint
from tests.ddpm_core.training.test_trainer import finish, run_until


def test_a_full_disk_is_told_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = tiny.trainer(tmp_path)
    run_until(trainer, 7)

    def full(_file: FileIO, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write_all", full)
    with caplog.at_level(logging.WARNING):
        finish(trainer)
    assert "the checkpoint of step 12 must be written" in caplog.text
    assert "No space left on device; the one of step 6 is unchanged; make room" in caplog.text
    monkeypatch.undo()
    again = tiny.trainer(tmp_path)
    assert again.resume()
    assert again.step == 6


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, which root may make."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]).returncode:
        pytest.skip("needs root and mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_on_a_disk_that_is_really_full_the_last_checkpoint_stays_and_the_training_goes_on(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_until(tiny.trainer(small_disk / "home"), 7)
    (small_disk / "others").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 4096))
    full = tiny.trainer(small_disk / "home")
    assert full.resume()
    with caplog.at_level(logging.WARNING):
        finish(full)
    assert caplog.text.count("No space left on device; the one of step 6 is unchanged; make room there") == 2
    assert tiny.everything(full) == tiny.everything(finish(tiny.trainer(None)))
    again = tiny.trainer(small_disk / "home")
    assert again.resume()
    assert again.step == 6
    (small_disk / "others").unlink()
    assert tiny.everything(finish(again)) == tiny.everything(full)
    assert again._checkpoints is not None
    assert again._checkpoints.steps() == [12, 18]
