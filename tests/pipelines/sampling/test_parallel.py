"""Several processes make the very pictures that one makes, and end together."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ddpm_core.errors import DdpmError, DeviceError, IntegrityError, ParamsError, TryAgain
from pipelines.cli import main
from pipelines.runtime import worker_pool
from pipelines.runtime.progress import Progress
from pipelines.sampling import parallel
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.parallel import Workers, sample_in_parallel
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_sample_config, tiny_spec

SEEDS = list(range(40, 51))
LABELS = [0, 1, 2, None, 1, 1, 0, 2, None, 0, 1]


@pytest.fixture
def sampler(tmp_path: Path) -> Sampler:
    """One that draws noise at every step and is guided, so that a mistaken seed or label would show."""
    sample = tiny_sample_config("ancestral", 4, guidance=1.0)
    return Sampler(tiny_bundle(tmp_path / "b", sample=sample), "cpu", 2)


def parallel_by(sampler: Sampler, processes: int, batch_size: int) -> np.ndarray:
    return sample_in_parallel(
        sampler, sampler.recipe(), SEEDS, {"label": LABELS}, processes=processes, batch_size=batch_size
    )


@pytest.mark.parametrize(("processes", "batch_size"), [(1, 4), (3, 4)])
def test_neither_processes_nor_batches_change_a_byte(sampler: Sampler, processes: int, batch_size: int) -> None:
    alone = sampler.sample(sampler.recipe(), SEEDS, {"label": LABELS}, batch_size=64)
    assert np.array_equal(parallel_by(sampler, processes, batch_size), alone)
    assert multiprocessing.active_children() == []


def test_choices_of_the_caller_reach_the_processes(sampler: Sampler) -> None:
    recipe = sampler.recipe(steps=3, guidance=0.0)
    made = sample_in_parallel(sampler, recipe, SEEDS, {"label": LABELS}, processes=9, batch_size=6)
    assert np.array_equal(made, sampler.sample(sampler.recipe(steps=3, guidance=0.0), SEEDS, {"label": LABELS}))


def kill_at_work(monkeypatch: pytest.MonkeyPatch, by: int) -> None:
    """Every process gets this signal as soon as it has a batch."""
    real = worker_pool._Worker._send

    def send_and_kill(worker: Any) -> None:
        real(worker)
        os.kill(worker._process.pid, by)

    monkeypatch.setattr(worker_pool._Worker, "_send", send_and_kill)


@pytest.mark.parametrize(
    ("by", "error", "exit_code", "said"),
    [(signal.SIGKILL, TryAgain, 75, "SIGKILL.*memory"), (signal.SIGABRT, DdpmError, 1, "exit code -6")],
)
def test_a_process_that_dies_ends_the_sampling(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, by: int, error: type[DdpmError], exit_code: int, said: str
) -> None:
    kill_at_work(monkeypatch, by)
    with pytest.raises(error, match=said) as caught:
        parallel_by(sampler, 2, 3)
    assert caught.value.exit_code == exit_code
    assert multiprocessing.active_children() == []


def test_progress_counts_every_step_of_every_batch(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    totals: list[int] = []
    bars: list[Progress] = []

    def recorded(total: int, *words: str, quiet: bool) -> Progress:
        totals.append(total)
        bars.append(Progress(total, *words, quiet=quiet))
        return bars[0]

    monkeypatch.setattr(parallel, "Progress", recorded)
    parallel_by(sampler, 2, 6)
    assert totals == [bars[0].done] == [2 * len(sampler.recipe().plan)]


def test_an_error_of_a_process_is_raised_here(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(tiny_graph(tiny_spec()))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}["w2"]
    broken = np.full(numpy_helper.to_array(weights).shape, np.nan, dtype=np.float32)
    weights.CopyFrom(numpy_helper.from_array(broken, "w2"))
    sampler = Sampler(tiny_bundle(tmp_path / "b", model=model.SerializeToString()), "cpu")
    with pytest.raises(IntegrityError, match="non-finite"):
        parallel_by(sampler, 2, 6)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("asked", "threads", "batches", "expected"),
    [
        ("auto", 2, 17, Workers(2, 1, 0)),
        ("auto", 8, 3, Workers(3, 2, 0)),
        ("auto", 1, 9, Workers(1, 1, 0)),
        (3, 2, 9, Workers(3, 1, 0)),
        (2, 6, 9, Workers(2, 3, 0)),
        (4, 2, 1, Workers(1, 2, 0)),
        ("auto", 2, 0, Workers(1, 2, 0)),
    ],
)
def test_processes_share_the_threads_and_none_is_without_a_batch(
    asked: Any, threads: int, batches: int, expected: Workers
) -> None:
    assert Workers.of(asked, threads, "cpu", batches) == expected


def test_every_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "gpu_count", lambda: 4)
    assert Workers.of("auto", 2, "cuda", 9) == Workers(4, 2, 4)
    assert Workers.of(3, 2, "cuda", 9) == Workers(3, 2, 4)
    assert Workers.of("auto", 2, "cpu", 9) == Workers(2, 1, 0)
    with pytest.raises(DeviceError, match="GPU of its own, but 5 were asked for and this machine has 4; ask for at"):
        Workers.of(5, 2, "cuda", 9)


def test_no_processes_at_all_are_refused() -> None:
    with pytest.raises(ParamsError, match="processes: must be auto or at least 1, got 0"):
        Workers.of(0, 2, "cpu", 9)


def test_the_command_takes_processes_and_writes_nothing_where_a_process_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny_bundle(tmp_path / "b")
    asked = ["sample", "--bundle", str(tmp_path / "b"), "--device", "cpu", "--n", "7", "--batch-size", "3"]
    for processes in ("1", "2"):
        assert main([*asked, "--processes", processes, "--out", str(tmp_path / f"{processes}.npz")]) == 0
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert "sampling by 2 processes, threads of each: 1" in capfd.readouterr().err
    kill_at_work(monkeypatch, signal.SIGKILL)
    assert main([*asked, "--processes", "2", "--out", str(tmp_path / "never.npz")]) == 75
    assert "SIGKILL" in capfd.readouterr().err
    assert not (tmp_path / "never.npz").exists()
