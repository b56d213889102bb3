"""A checkpoint is whole or not there, and one flipped bit anywhere is seen."""

import json
import logging
import random
import shutil
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from ddpm_core.errors import DdpmError, IntegrityError
from ddpm_core.training import checkpoint
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.tensor_buffer import TensorBuffer

FILES = ("tensors.safetensors", "state.json", "manifest.json")


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"w": torch.full((3, 2), float(step)), "half": torch.ones(4).bfloat16(), "n": torch.tensor(step)}


def saved(folder: Path, *steps: int, keep: int = 3) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(step, tensors(step), {"step": step, "loss": 1 / 3})
    return checkpoints


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    snapshot = saved(tmp_path, 5, 10).latest()
    assert snapshot is not None
    assert snapshot.step == 10
    assert snapshot.state == {"step": 10, "loss": 1 / 3}
    for name, tensor in tensors(10).items():
        assert torch.equal(snapshot.tensors[name], tensor)
        assert snapshot.tensors[name].dtype == tensor.dtype


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    assert saved(tmp_path, 1, 2, 3, 4, keep=2).steps() == [3, 4]


def test_nothing_saved_is_nothing_found(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", 1).latest() is None
    assert Checkpoints(tmp_path / "none", 1).steps() == []


def test_all_can_be_removed_and_what_lies_beside_them_stays(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    (tmp_path / "beside").touch()
    checkpoints.remove_all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["beside"]


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_detected(tmp_path: Path, name: str) -> None:
    checkpoints = saved(tmp_path, 7)
    file = tmp_path / "step-00000007" / name
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), max(1, 8 * len(whole) // 200)):
        flip(file, bit)
        with pytest.raises(IntegrityError, match=r"checkpoint .*step-00000007"):
            checkpoints.load(7)
        file.write_bytes(whole)
    assert checkpoints.load(7).step == 7


@pytest.mark.parametrize("name", FILES)
def test_the_newest_whole_one_is_used_and_that_is_said(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = saved(tmp_path, 1, 2, 3)
    flip(tmp_path / "step-00000003" / name, 77)
    (tmp_path / "step-00000002" / name).unlink()
    with caplog.at_level(logging.WARNING):
        snapshot = checkpoints.latest()
    assert snapshot is not None
    assert snapshot.step == 1
    assert caplog.text.count("trying the one before it") == 2
    assert "step-00000003: " in caplog.text
    assert checkpoints.steps() == [1]


def test_200_flipped_bits_in_any_file_are_seen_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path / "whole", 1, 2)
    rng = random.Random(0)
    for number in range(200):
        shutil.copytree(tmp_path / "whole", tmp_path / "flipped")
        flip(tmp_path / "flipped" / "step-00000002" / rng.choice(FILES), rng.randrange(8 * 10_000))
        snapshot = Checkpoints(tmp_path / "flipped", 2).latest()
        assert snapshot is not None
        assert snapshot.step == 1
        assert caplog.text.count("trying the one before it") == number + 1
        shutil.rmtree(tmp_path / "flipped")


def test_files_of_one_step_under_the_name_of_another_are_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 4)
    (tmp_path / "step-00000004").rename(tmp_path / "step-00000005")
    with pytest.raises(IntegrityError, match="must have the digests of its manifest"):
        checkpoints.load(5)


@pytest.mark.parametrize("after", [0, 1])
def test_a_disk_that_fills_at_any_file_leaves_the_last_checkpoint_whole(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path, 6)
    fill_the_disk(monkeypatch, after)
    with pytest.raises(DdpmError, match=r"step 12 must be .* No space left on device; the one of step 6 is unchanged"):
        checkpoints.save(12, tensors(12), {})
    monkeypatch.undo()
    snapshot = checkpoints.latest()
    assert snapshot is not None
    assert snapshot.step == 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000006"]


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The first `after` files go through; of the next one half is written."""
    written: list[object] = []
    write = checkpoint._write_all

    def fill(file: FileIO, content: bytes | memoryview) -> None:
        written.append(file)
        if len(written) > after:
            write(file, memoryview(content)[: len(content) // 2])
            raise OSError(28, "No space left on device")
        write(file, content)

    monkeypatch.setattr(checkpoint, "_write_all", fill)


# --------------------------------------------------------------------------------------- while the work goes on


def test_the_buffer_is_the_file_that_the_library_writes() -> None:
    kinds = (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8)
    both = (torch.bool, torch.int8, torch.int16)
    data = {f"{kind}.{n}": (torch.arange(3 * n) % 2).reshape(3, n).to(kind) for kind in kinds + both for n in (1, 3)}
    data |= {"number": torch.tensor(2.5), "empty": torch.empty(0, 4), "turned": torch.arange(6.0).reshape(2, 3).T}
    buffer = TensorBuffer(data)
    buffer.take(data)
    assert bytes(buffer.content()) == save({name: tensor.contiguous() for name, tensor in data.items()})


def test_a_save_under_way_holds_what_was_when_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = checkpoint._write_all
    monkeypatch.setattr(checkpoint, "_write_all", lambda file, content: (gate.wait(10), write(file, content)))
    checkpoints = Checkpoints(tmp_path, 2)
    weights = tensors(3)
    checkpoints.begin(3, weights, {"step": 3})
    assert checkpoints.failure() is None
    weights["w"] += 1  # the training goes on
    assert checkpoints.steps() == []
    gate.set()
    checkpoints.wait()
    assert torch.equal(checkpoints.load(3).tensors["w"], tensors(3)["w"])


def test_one_save_at_a_time_and_each_is_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 9)
    for step in range(1, 8):
        checkpoints.begin(step, tensors(step), {"step": step})
    checkpoints.wait()
    assert [checkpoints.load(step).state["step"] for step in checkpoints.steps()] == list(range(1, 8))
    assert all(torch.equal(checkpoints.load(step).tensors["w"], tensors(step)["w"]) for step in range(1, 8))


def test_a_save_that_failed_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    fill_the_disk(monkeypatch, 0)
    checkpoints.begin(4, tensors(4), {})
    with pytest.raises(DdpmError, match=r"step 4 must be written .* no earlier one"):
        checkpoints.wait()
    checkpoints.wait()
    assert checkpoints.failure() is None


def test_a_fault_of_the_writer_is_raised_where_the_training_is(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.begin(4, tensors(4), {"loss": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoints.wait()


def test_a_write_that_the_system_takes_in_parts_is_written_whole(tmp_path: Path) -> None:
    class ThreeAtATime(FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:3])

    with ThreeAtATime(tmp_path / "file", "wb") as file:
        checkpoint._write_all(file, b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_what_a_kill_left_half_written_is_swept(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 2)
    (tmp_path / ".step-00000004.abc.part").mkdir()
    (tmp_path / ".step-00000004.abc.part" / "tensors.safetensors").write_bytes(b"half")
    assert checkpoints.steps() == [2]
    checkpoints.latest()
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000002"]


def test_no_file_of_a_checkpoint_can_run_code(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    assert sorted(entry.name for entry in (tmp_path / "step-00000001").iterdir()) == sorted(FILES)
    manifest = json.loads((tmp_path / "step-00000001" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"tensors.safetensors", "state.json"}
