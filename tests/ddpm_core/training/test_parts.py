"""The small parts of training: learning rate, averages, windows, reading ahead, devices."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from ddpm_core.device import (
    dtype_of,
    make_repeatable,
    pick_device,
    pick_precision,
    torch_generator,
    torch_seed,
)
from ddpm_core.errors import DeviceError, ParamsError
from ddpm_core.training.config import Adam, AdamW, Constant, Cosine, InverseSqrt
from ddpm_core.training.ema import Ema, average_of
from ddpm_core.training.lr import build_optimiser, lr_at
from ddpm_core.training.meter import Measures, Meter
from ddpm_core.training.prefetch import Prefetch
from tests.support.augmenting import augmenting

CPU = torch.device("cpu")
BASE = replace(tiny.CONFIG, steps=101, lr=1.0, warmup_steps=10)

# ---------------------------------------------------------------------------------------------- learning rate


@pytest.mark.parametrize("schedule", [Constant("constant"), Cosine("cosine", 0.1), InverseSqrt("inverse_sqrt", 20)])
def test_the_rate_rises_in_a_line_and_meets_the_schedule(schedule: Constant | Cosine | InverseSqrt) -> None:
    config = replace(BASE, lr_schedule=schedule)
    np.testing.assert_allclose([lr_at(config, step) for step in range(10)], np.arange(1, 11) / 10)
    assert lr_at(config, 10) == 1


def test_cosine_ends_at_its_fraction_and_is_half_way_in_the_middle() -> None:
    config = replace(BASE, lr_schedule=Cosine("cosine", 0.1))
    assert lr_at(config, 100) == pytest.approx(0.1)
    assert lr_at(config, 55) == pytest.approx(0.55)


def test_inverse_square_root_halves_at_four_times_the_steps() -> None:
    config = replace(BASE, lr_schedule=InverseSqrt("inverse_sqrt", 20))
    assert lr_at(config, 79) == pytest.approx(0.5)


def test_no_warm_up_begins_at_the_full_rate() -> None:
    config = replace(BASE, warmup_steps=0, lr_schedule=Constant("constant"))
    assert [lr_at(config, step) for step in (0, 50, 100)] == [1, 1, 1]


def test_adam_and_adamw_differ_by_the_decay_of_weights_alone() -> None:
    def after(config: Adam | AdamW) -> float:
        weight = nn.Parameter(torch.tensor([2.0]))
        optimiser = build_optimiser(config, nn.ParameterList([weight]))
        optimiser.param_groups[0]["lr"] = 0.1
        weight.grad = torch.tensor([5.0])
        optimiser.step()
        return float(weight.detach())

    # Adam's first step is lr times the gradient's sign; AdamW first shrinks the weight by lr * weight_decay.
    assert after(Adam("adam", (0.9, 0.99), 1e-8)) == pytest.approx(1.9)
    assert after(AdamW("adamw", (0.9, 0.99), 1e-8, 0.5)) == pytest.approx(2.0 * 0.95 - 0.1)


# ------------------------------------------------------------------------------------------------------ averages


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(1))


@pytest.mark.parametrize(("decay", "warmup"), [(0.9, 1.0), (0.999, 10.0), (0.0, 10.0)])
def test_average_is_its_closed_form(decay: float, warmup: float) -> None:
    model = One()
    ema = Ema(model, decay, warmup)
    values = np.random.default_rng(0).standard_normal((50, 2))
    for step, value in enumerate(values):
        model.weight.data = torch.from_numpy(value)
        ema.update(model, ema.shares(step))
    d = np.minimum(decay, (1 + np.arange(50)) / (warmup + np.arange(50)))
    shares = (1 - d) * np.append(np.cumprod(d[:0:-1])[::-1], 1)
    np.testing.assert_allclose(ema.model.weight, shares @ values, rtol=1e-12)


def test_the_averages_of_recurrent_layers_lie_together_as_cudnn_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    put_together: list[nn.Module] = []
    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", lambda self: put_together.append(self))
    ema = Ema(nn.Sequential(nn.GRU(2, 3), nn.Linear(3, 1)), 0.9, 1.0)
    assert put_together[-1] is ema.model[0]


def test_warm_up_forgets_the_first_weights_where_a_plain_average_keeps_them() -> None:
    model = One()
    model.weight.data += 100  # stands for the random beginning
    warm, plain = Ema(model, 0.9999, 10.0), Ema(model, 0.9999, 1.0)
    model.weight.data *= 0
    for step in range(100):
        warm.update(model, warm.shares(step))
        plain.update(model, plain.shares(step))
    assert float(plain.model.weight.max()) > 99
    assert float(warm.model.weight.max()) < 1e-6


def test_further_averages_are_those_that_a_training_of_their_own_would_give() -> None:
    model = One()
    several = Ema(model, 0.9, 10.0, (0.5, 0.99))
    alone = {decay: Ema(model, decay, 10.0) for decay in (0.9, 0.5, 0.99)}
    for step in range(30):
        model.weight.data = torch.from_numpy(np.random.default_rng(step).standard_normal(2))
        for ema in (several, *alone.values()):
            ema.update(model, ema.shares(step))
    found = {0.9: several.model.weight, 0.5: several.further()["ema-0.5/weight"]}
    found[0.99] = several.further()["ema-0.99/weight"]
    assert all(torch.equal(found[decay], alone[decay].model.weight) for decay in found)


def test_a_weights_file_gives_the_average_that_is_asked_for() -> None:
    tensors = {"w": of(1.0), "count": of(7.0), "ema-0.9/w": of(2.0), "ema-0.99/w": of(3.0)}
    assert average_of(tensors, None) == {"w": of(1.0), "count": of(7.0)}
    assert average_of(tensors, 0.99) == {"w": of(3.0), "count": of(7.0)}


def test_average_copies_buffers_and_never_trains() -> None:
    model = One()
    ema = Ema(model, 0.9, 10.0)
    model.count += 3
    ema.update(model, ema.shares(0))
    assert float(ema.model.count) == 3
    assert not ema.model.weight.requires_grad
    assert not ema.model.training


# ------------------------------------------------------------------------------------------------------ windows


def of(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def test_window_gives_means_and_tells_bands_of_levels_apart() -> None:
    meter = Meter(CPU)
    meter.add(of(1.0)[0], of(3.0)[0], of(0.0)[0], of(0, 0, 1, 3), of(1.0, 3.0, 5.0, 7.0))
    meter.add(of(2.0)[0], of(5.0)[0], of(0.0)[0], of(2, 3, 3, 3), of(2.0, 4.0, 6.0, 8.0))
    measures, bad = meter.read(2, 0.5)
    assert measures == Measures(2, 1.5, 4.0, 0.5, (2.0, 5.0, 2.0, 6.25))
    assert bad == 0


def test_a_band_that_was_not_drawn_has_no_loss_and_a_new_window_is_empty() -> None:
    meter = Meter(CPU)
    meter.add(of(9.0)[0], of(9.0)[0], of(1.0)[0], of(3), of(9.0))
    assert meter.read(1, 0.0)[1] == 1
    meter.add(of(1.0)[0], of(1.0)[0], of(0.0)[0], of(0), of(4.0))
    assert meter.read(2, 0.0) == (Measures(2, 1.0, 1.0, 0.0, (4.0, None, None, None)), 0)


def test_measures_go_through_json_unchanged() -> None:
    measures = Measures(2, 0.1, 1 / 3, 1e-4, (None, 0.2, 1 / 7, 0.0))
    assert Measures.from_dict(measures.to_dict()) == measures


# ---------------------------------------------------------------------------------------------- reading ahead


def test_items_come_in_order_and_the_end_comes() -> None:
    assert list(Prefetch(iter(range(1, 20)))) == list(range(1, 20))


def test_reading_ahead_is_bounded_and_ends_when_closed() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number + 1

    ahead = Prefetch(source(), depth=2)
    assert next(ahead) == 1
    ahead.close()
    ahead._thread.join(timeout=10)
    assert not ahead._thread.is_alive()
    assert len(taken) <= 5


# ---------------------------------------------------------------------------------------------------- devices


def test_cuda_without_cuda_is_an_error_and_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    assert pick_device("cpu") == CPU
    with pytest.raises(DeviceError, match=r"cuda needs a GPU, but torch .*; set runtime.device"):
        pick_device("cuda")
    with pytest.raises(DeviceError, match="must be auto, cpu or cuda, got 'tpu'"):
        pick_device("tpu")


def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert pick_precision("auto", CPU) == "bf16"
    assert pick_precision("fp32", CPU) == "fp32"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert pick_precision("auto", CPU) == "fp32"
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert pick_precision("auto", CPU) == "fp32"
    assert pick_precision("bf16", CPU) == "bf16"
    assert [dtype_of(name) for name in ("bf16", "tf32", "fp32")] == [torch.bfloat16, torch.float32, torch.float32]


def test_avx2_kernels_alone_mean_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert pick_precision("auto", CPU) == "fp32"


def test_seeds_differ_by_purpose_and_step() -> None:
    seeds = {torch_seed(seed, purpose, step) for seed in range(5) for purpose in range(5) for step in range(5)}
    assert len(seeds) == 125
    one, again = (torch.randn(3, generator=torch_generator(CPU, 1, 2, 3)) for _ in range(2))
    assert torch.equal(one, again)


def test_make_repeatable_fixes_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        make_repeatable(1)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode("default")


# ---------------------------------------------------------------------------------------------------- configs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 10, "accumulate": 4}, "batch_size: must be a multiple of accumulate, got batch_size=10, acc"),
        ({"warmup_steps": 24}, "warmup_steps: must be below steps = 24, or 0, got 24"),
        ({"steps": 0, "warmup_steps": 0}, "steps: must be at least 1 without init_from, got 0"),
        ({"steps": -1, "lr": 0.0}, "steps: must be 0 or more, got -1; lr: must be above 0, got 0.0"),
        ({"ema_more": (0.5, 0.9)}, "ema_more: must be other decays than ema_decay, got 0.9 in both"),
        ({"ema_more": (0.5, 0.5)}, r"ema_more: must be different numbers of at least 0 and below 1, got \(0.5, 0.5\)"),
        ({"ema_decay": 1.0}, "ema_decay: must be at least 0 and below 1, got 1.0"),
        ({"seed": -1}, r"seed: must be from 0 to 2\^63 - 1, got -1"),
        ({"keep_checkpoints": 0}, "keep_checkpoints: must be at least 1, got 0"),
        ({"hold_out": -1}, "hold_out: must be 0 or more, got -1"),
        (
            {"hold_out": 8},
            "a multiple of log_every if hold_out is above 0, got checkpoint_every=6, log_every=5",
        ),
    ],
)
def test_parameters_out_of_range_are_told_together(change: dict[str, float], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(tiny.CONFIG, **change)


def test_parameters_of_the_parts_are_checked_too() -> None:
    with pytest.raises(ParamsError, match=r"betas: must be two numbers of at least 0 and below 1, got "):
        AdamW("adamw", (0.9, 1.0), 1e-8, 0.0)
    with pytest.raises(ParamsError, match=r"horizontal_flip: must be between 0 and 1, got 1.5"):
        augmenting(horizontal_flip=1.5)
    with pytest.raises(ParamsError, match=r"final_fraction: must be between 0 and 1, got 2.0"):
        Cosine("cosine", 2.0)
    with pytest.raises(ParamsError, match=r"steps_at_full: must be at least 1, got 0"):
        InverseSqrt("inverse_sqrt", 0)
    with pytest.raises(ParamsError, match=r"eps: must be above 0, got 0.0"):
        Adam("adam", (0.9, 0.999), 0.0)


def test_config_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys; import ddpm_core.training.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_cosine_is_the_formula() -> None:
    config = replace(BASE, lr_schedule=Cosine("cosine", 0.0))
    assert lr_at(config, 40) == pytest.approx(0.5 * (1 + math.cos(math.pi / 3)))
