"""Several processes train as one: the same data, times and noise, cut among them; the same losses; one saves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import processes_script
import pytest
import tiny
import torch

from ddpm_core.errors import DeviceError
from ddpm_core.objectives.base import Draw
from ddpm_core.objectives.batch import WHOLE, Batch, Share
from ddpm_core.training import distributed
from ddpm_core.training.distributed import ALONE, is_launched, joined, on_this_machine

HERE = Path(__file__).parent
SCRIPT = [sys.executable, str(HERE / "processes_script.py")]


def rows(batch: Batch, share: Share) -> Batch:
    own = share.rows(len(batch))
    mask = None if batch.mask is None else batch.mask[own]
    return Batch(batch.x0[own], {name: value[own] for name, value in batch.cond.items()}, mask)


def batch(masked: bool) -> Batch:
    one = next(tiny.batches(5))
    return Batch(one.x0, one.cond, (torch.arange(48).reshape(8, 2, 3) % 5 > 0).float() if masked else None)


def tensors(draw: Draw) -> dict[str, Any]:
    names = [field.name for field in fields(draw) if field.name not in ("count", "rows", "cond", "t")]
    return {**{name: getattr(draw, name) for name in names}, **draw.cond, "t": torch.from_numpy(draw.t)}


# ------------------------------------------------------------------------------------------------- the cutting law


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_draws_of_the_processes_are_the_draw_of_one_cut_into_pieces(count: int, masked: bool) -> None:
    objective, whole = tiny.objective(), batch(masked)
    one = objective.draw(whole, 3, 11, WHOLE)
    cut = [objective.draw(rows(whole, Share(n, count)), 3, 11, Share(n, count)) for n in range(count)]
    for name, value in tensors(one).items():
        pieces = [tensors(draw)[name] for draw in cut]
        if value is None:
            assert pieces == [None] * count
        else:
            assert torch.equal(torch.cat(pieces), value), name
    assert sum(float(draw.count) for draw in cut) == float(one.count)


def test_shares_are_equal_and_leave_nothing_out() -> None:
    slices = [Share(n, 3).rows(12) for n in range(3)]
    assert [(part.start, part.stop) for part in slices] == [(0, 4), (4, 8), (8, 12)]
    assert WHOLE.rows(7) == slice(0, 7)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8])
def test_parts_hold_every_item_once_and_differ_by_one_at_most(number: int) -> None:
    draw = tiny.objective().draw(batch(True), 3, 11)
    parts = draw.parts(number)
    assert torch.equal(torch.cat([part.x_in for part in parts]), draw.x_in)
    sizes = [len(part.t) for part in parts]
    assert len(sizes) == number
    assert max(sizes) - min(sizes) <= 1
    net = tiny.Net(0.0)
    total = sum(float(tiny.objective().loss(net, part).total.detach()) for part in parts)
    assert total == pytest.approx(float(tiny.objective().loss(net, draw).total.detach()), rel=1e-6)


def test_every_process_drops_activations_of_its_own_and_the_first_as_if_alone() -> None:
    from ddpm_core.device import torch_seed

    seeds = [torch_seed(3, 7, 5, process) for process in range(4)]
    assert seeds[0] == torch_seed(3, 7, 5)
    assert len(set(seeds)) == 4


# ----------------------------------------------------------------------------------------------------- one process


def test_alone_every_agreement_is_with_oneself() -> None:
    value = torch.arange(3.0)
    assert ALONE.total(value) is value
    assert ALONE.gather(value) is value
    assert ALONE.from_first(lambda: 7) == 7
    assert [ALONE.any(flag) for flag in (False, True)] == [False, True]
    ALONE.add_up(value)
    assert value.tolist() == [0, 1, 2]
    with joined("cpu") as processes:
        assert processes is ALONE


def test_a_launcher_is_known_by_what_it_leaves_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    assert is_launched(environment)
    assert on_this_machine(environment) == 2
    assert not is_launched({})
    assert on_this_machine({"LOCAL_WORLD_SIZE": "2"}) == 1
    for name, value in {"RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    with joined("cpu") as processes:
        assert processes is ALONE


def test_a_restart_on_one_machine_meets_under_a_name_of_its_own() -> None:
    assert distributed._attempt({}) == "start-0"
    assert distributed._attempt({"GROUP_WORLD_SIZE": "1", "TORCHELASTIC_RESTART_COUNT": "2"}) == "start-2"
    assert distributed._attempt({"GROUP_WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "2"}) == "start-0"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"has 2 processes and 1 GPUs; start at most 1 processes, or set"):
        distributed._take_gpu(0, 2)


@pytest.fixture
def on_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two processes that would meet on GPUs, of which there are none; what is done is written down."""
    done: list[str] = []

    def refuse(*_: Any, **__: Any) -> Any:
        done.append("rendezvous")
        raise ConnectionError("as if")

    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(import_module("torch.distributed.rendezvous"), "rendezvous", refuse)
    monkeypatch.setattr(distributed, "_take_gpu", lambda place, sharing: done.append("gpu"))
    before = torch.get_deterministic_debug_mode()
    yield done
    torch.set_deterministic_debug_mode(before)


def test_on_gpus_determinism_is_set_before_the_processes_meet(on_gpus: list[str]) -> None:
    torch.set_deterministic_debug_mode("default")
    with pytest.raises(DeviceError, match=r"must be true before the processes join .* join with deterministic=False"):
        joined("cuda").__enter__()
    assert on_gpus == []
    torch.set_deterministic_debug_mode("warn")
    with pytest.raises(ConnectionError):
        joined("cuda").__enter__()
    assert on_gpus == ["gpu", "rendezvous"]


def test_without_gpus_or_determinism_the_flag_is_not_asked_for(on_gpus: list[str]) -> None:
    torch.set_deterministic_debug_mode("default")
    with pytest.raises(ConnectionError):
        joined("cuda", deterministic=False).__enter__()
    with pytest.raises(ConnectionError):
        joined("cpu").__enter__()
    assert on_gpus == ["gpu", "rendezvous", "rendezvous"]


# ------------------------------------------------------------------------------------------------- real processes


def launched(folder: Path, *words: str, processes: int = 2, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*torchrun, f"--max-restarts={restarts}", SCRIPT[1], str(folder), *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", ["1", "2"])
def test_two_processes_lose_what_one_does(tmp_path: Path, accumulate: str) -> None:
    for count in (1, 2):
        done = launched(tmp_path / str(count), "--accumulate", accumulate, processes=count)
        assert done.returncode == 0, done.stderr
    one, two = (processes_script.result(tmp_path / str(count)) for count in (1, 2))
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(two["norms"], one["norms"], rtol=1e-5)
    np.testing.assert_allclose(two["bands"], one["bands"], rtol=1e-4)
    np.testing.assert_allclose(two["law"], one["law"], rtol=1e-4)
    np.testing.assert_allclose(two["average"], one["average"], rtol=1e-4, atol=1e-6)
    assert len(one["losses"]) == 20
    assert two["writers"] == [0]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("two")
    done = launched(folder)
    assert done.returncode == 0, done.stderr
    return processes_script.result(folder)


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_the_end_is_the_same_bits(tmp_path: Path, by_two: dict[str, Any]) -> None:
    killed = launched(tmp_path, "--fail-at", "13", "--kill", restarts=1)
    assert killed.returncode == 0, killed.stderr
    assert (tmp_path / "died").exists()
    for key in ("losses", "average"):
        assert processes_script.result(tmp_path)[key] == by_two[key]
    assert processes_script.result(tmp_path)["resumed"] == 12


@pytest.mark.slow
def test_three_processes_add_in_the_same_order_after_a_resumption(tmp_path: Path) -> None:
    whole = launched(tmp_path / "whole", "--rows", "6", processes=3)
    assert whole.returncode == 0, whole.stderr
    killed = launched(tmp_path / "killed", "--rows", "6", "--fail-at", "13", "--kill", processes=3, restarts=1)
    assert killed.returncode == 0, killed.stderr
    for key in ("losses", "norms", "average", "law"):
        assert processes_script.result(tmp_path / "killed")[key] == processes_script.result(tmp_path / "whole")[key]
    assert processes_script.result(tmp_path / "killed")["resumed"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 14])
def test_all_cut_together_at_whatever_step_one_is_short_of_memory(
    tmp_path: Path, step: int, by_two: dict[str, Any]
) -> None:
    done = launched(tmp_path, "--short-at", str(step))
    assert done.returncode == 0, done.stderr
    cut = processes_script.result(tmp_path)
    assert cut["parts"] == 2
    assert by_two["parts"] == 1
    assert cut["losses"][: step - 1] == by_two["losses"][: step - 1]
    np.testing.assert_allclose(cut["losses"], by_two["losses"], rtol=1e-5)
    assert len(cut["losses"]) == processes_script.STEPS
