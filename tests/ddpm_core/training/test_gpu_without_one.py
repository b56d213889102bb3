"""A training's step on a GPU, as far as it shows without one: devices, layouts, and that the host never waits."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import tiny
import torch
from fake_gpu import CUDA, graphs, no_gpu
from torch import Tensor, nn

from ddpm_core.training.config import Adam, AdamW, OptimiserConfig
from ddpm_core.training.ema import Ema
from ddpm_core.training.lr import build_optimiser
from ddpm_core.training.state import load_optimiser, optimiser_tensors
from ddpm_core.training.trainer import Trainer
from tests.support.grid import grid

ADAM = Adam("adam", (0.9, 0.99), 1e-8)
ADAMW = AdamW("adamw", (0.9, 0.99), 1e-8, 0.01)
OPTIMISERS = pytest.mark.parametrize("optimiser", [ADAM, ADAMW, tiny.MUON], ids=lambda config: config.kind)

# ------------------------------------------------------------------------------------------------------- resuming


def _net() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _after_a_step(config: OptimiserConfig, net: nn.Module) -> dict[str, Tensor]:
    optimiser, parameters = _of(config, net)
    for group in optimiser.param_groups:
        group["lr"] = 1e-3
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    return optimiser_tensors(optimiser, parameters)


def _of(config: OptimiserConfig, net: nn.Module) -> tuple[torch.optim.Optimizer, list[nn.Parameter]]:
    optimiser = build_optimiser(config, net)
    return optimiser, [weight for group in optimiser.param_groups for weight in group["params"]]


def _read_back(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As a file gives them: on the CPU and contiguous."""
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@OPTIMISERS
def test_what_an_optimiser_kept_comes_back_as_it_had_made_it_on_its_parameters_device(
    optimiser: OptimiserConfig,
) -> None:
    saved = _read_back(_after_a_step(optimiser, _net()))
    fresh, parameters = _of(optimiser, _net().to("meta"))  # stands for a GPU
    load_optimiser(fresh, parameters, saved)
    found = [(weight, key, tensor) for weight in parameters for key, tensor in fresh.state[weight].items()]
    assert len(found) == len(saved)
    assert all(tensor.device == weight.device for weight, _, tensor in found)
    assert all(tensor.stride() == weight.stride() for weight, _, tensor in found if tensor.shape == weight.shape)
    assert all((key == "step") == (tensor.ndim == 0) for _, key, tensor in found)
    assert any(key == "step" for _, key, _ in found)


@OPTIMISERS
def test_the_numbers_of_an_optimiser_come_back_to_the_bit(optimiser: OptimiserConfig) -> None:
    kept = _after_a_step(optimiser, _net())
    fresh, parameters = _of(optimiser, _net())
    load_optimiser(fresh, parameters, _read_back(kept))
    again = optimiser_tensors(fresh, parameters)
    assert list(again) == list(kept)
    assert all(torch.equal(again[name], kept[name]) and again[name].dtype == kept[name].dtype for name in kept)
    assert all(again[name].stride() == kept[name].stride() for name in kept)


# --------------------------------------------------------------------------------------------------------- a step


def _trainer(net: nn.Module, **changes: Any) -> Trainer:
    config = replace(tiny.CONFIG, log_every=50, ema_more=(0.5,), **changes)
    return Trainer(net, tiny.objective(), config, tiny.batches, device=CUDA, dtype=torch.float32)


POLICIES = ("stop", "skip", "roll_back")
STEPS = [(ADAMW, "stop"), (ADAMW, "roll_back"), (ADAM, "skip"), (tiny.MUON, "skip")]


@pytest.mark.parametrize(("optimiser", "policy"), grid(STEPS, (ADAM, ADAMW, tiny.MUON), POLICIES))
def test_a_step_waits_for_no_number_and_mixes_no_devices(
    optimiser: OptimiserConfig, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Tensor | None] = []
    update = Ema.update

    def seen(self: Ema, model: nn.Module, shares: Sequence[float | Tensor], bad: Tensor | None = None) -> None:
        told.append(bad)
        update(self, model, shares, bad)

    monkeypatch.setattr(Ema, "update", seen)
    made = graphs(monkeypatch)
    with no_gpu(monkeypatch) as net:
        trainer = _trainer(net, optimiser=optimiser, on_nonfinite=policy)
        for batch in islice(tiny.batches(0), 8):
            trainer._learn(batch.pinned().to(CUDA), 0.1)
            trainer.step += 1
        tensors = trainer._tensors()
        assert {str(tensor.device) for tensor in tensors.values()} == {str(CUDA)}
        assert sum(name.startswith("further.") for name in tensors) == len(list(net.parameters()))
        assert sum(name.startswith("optimiser.") for name in tensors) >= len(list(net.parameters()))
        with pytest.raises(Exception, match=r"aten._local_scalar_dense"):  # so waiting would have been seen
            trainer._meter.read(8, 0.1)
    assert told
    assert all(bad is not None and bad.device == CUDA for bad in told)
    assert [graph.replays for graph in made] == [6, 4]  # forward and backward from step 3 on, the update from 5


@pytest.mark.parametrize("policy", POLICIES)
def test_averages_are_told_which_step_is_bad_whatever_becomes_of_it(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(Ema, "update", lambda _self, _model, _shares, bad=None: told.append(bad))
    with no_gpu(monkeypatch) as net:
        trainer = _trainer(net, on_nonfinite=policy)
        trainer._learn(next(tiny.batches(0)).to(CUDA), 0.1)
    assert [bad is not None and bad.device for bad in told] == [CUDA]
