"""A rollout is a loop of its own for each column, given the state that all columns before it make."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.diffusion import rollout
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.guidance import Guide
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.procedure import Rollout
from ddpm_core.samplers.config import named

K, H, L, S = 2, 3, 5, 4
P = Parameterisation("v", Cosine("cosine", 50, 0.008, 0.999, False).build())
PLAN = replace(named("ancestral", 4, None), bound="none").plan(P.schedule, "fixed_small")
PROCEDURE = Rollout(state=S, warm_up=2)
SEEDS = [7, 1, 4, 2**64 - 1]
HISTORY = np.random.default_rng(0).normal(size=(4, K, L)).astype(np.float32)
HISTORY[2] = HISTORY[1]
COND = {"history": HISTORY, "label": np.array([0, 1, 1, 2])}
MIX = np.random.default_rng(1).normal(0, 0.5, (K, S)).astype(np.float32)
OFF = Guide(0.0, {"label": 3}, K, None, 0.0)


def told_of(value: Any, like: Any) -> Any:
    return torch.from_numpy(np.asarray(value)).to(like.dtype) if isinstance(like, torch.Tensor) else value


class Encoder:
    """Half the state, plus the column before the position (or the history's last), the calendar and the label."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, float]] = []

    def __call__(self, x: Any, position: Any, cond: Mapping[str, Any]) -> Any:
        i = int(position[0])
        self.calls.append((len(x), i))
        before = x[:, :, i - 1] if i > 0 else cond["history"][:, :, i - 1]
        label = told_of(cond["label"], x).reshape(-1, 1) * 0.1
        return cond["state"] * 0.5 + (before[:, :, None] * told_of(MIX, x)[None]).sum(1) + label + i * 0.01


def net(x: Any, t: Any, cond: Mapping[str, Any]) -> Any:
    push = (cond["state"][:, None] * told_of(MIX, x)[None]).sum(2)[:, :, None]
    return x * 0.3 - push + t[:, None, None] * 0.001


def made(seeds: list[int] = SEEDS, cond: Mapping[str, Any] = COND, guide: Guide = OFF, **options: Any) -> Any:
    options = {"bound": None, "on_step": None, **options}
    encoder = options.pop("encoder", None) or Encoder()

    def noise(step: int) -> Any:
        return step_noise(seeds, step, (K, H))

    x_T = initial(seeds, (K, H)) * PLAN.start_scale
    return rollout.sample(PROCEDURE, PLAN, P, net, encoder, guide, cond, x_T, noise, **options)


def by_hand(seeds: list[int], cond: Mapping[str, Any], weight: float = 0.0, null: int = 3) -> Any:
    """Each datum alone, each column alone."""
    found = np.zeros((len(seeds), K, H), dtype=np.float32)
    for n, seed in enumerate(seeds):
        told = {name: value[n : n + 1] for name, value in cond.items()}
        ways = [told, {**told, "label": np.array([null])}]
        states = [np.zeros((1, S), dtype=np.float32)] * 2
        for i in range(-PROCEDURE.warm_up, H):
            position = np.full(1, i, dtype=np.float32)
            states = [
                Encoder()(found[n : n + 1], position, {**way, "state": state})
                for way, state in zip(ways, states, strict=True)
            ]
            if i < 0:
                continue

            def denoise(x: Any, t: Any, states: Any = states) -> Any:
                with_it, without = (net(x, t, {"state": state}) for state in states)
                return with_it + weight * (with_it - without)

            noise = {step: step_noise([seed], step, (K, H))[..., i : i + 1] for step in range(len(PLAN) + 1)}
            found[n : n + 1, :, i : i + 1] = generate(PLAN, P, denoise, noise[0] * PLAN.start_scale, noise.__getitem__)
    return found


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_each_column_is_a_loop_with_its_own_noise_given_the_state_before_it(weight: float) -> None:
    found = made(guide=OFF._replace(weight=weight))
    np.testing.assert_allclose(found, by_hand(SEEDS, COND, weight), rtol=1e-4, atol=1e-5)
    assert np.abs(np.diff(found, axis=2)).min() > 1e-3


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_a_datum_depends_on_no_other_in_its_batch(weight: float) -> None:
    guide = OFF._replace(weight=weight)
    together = made(guide=guide)
    for n, seed in enumerate(SEEDS):
        alone = made([seed], {name: value[n : n + 1] for name, value in COND.items()}, guide)
        np.testing.assert_array_equal(together[n : n + 1], alone)


def test_torch_and_numpy_run_the_same_loop() -> None:
    def noise(step: int) -> Any:
        return torch.from_numpy(step_noise(SEEDS, step, (K, H)))

    cond = {name: torch.from_numpy(value) for name, value in COND.items()}
    x_T = torch.from_numpy(initial(SEEDS, (K, H)) * np.float32(PLAN.start_scale))
    guide = OFF._replace(weight=0.7)
    by_torch = rollout.sample(PROCEDURE, PLAN, P, net, Encoder(), guide, cond, x_T, noise, bound=None, on_step=None)
    np.testing.assert_allclose(by_torch.numpy(), made(guide=guide), rtol=1e-4, atol=1e-5)


def test_the_encoder_is_called_once_a_position_and_equal_conditions_are_warmed_up_together() -> None:
    encoder = Encoder()
    made(encoder=encoder)
    assert encoder.calls == [(3, -2), (3, -1), (4, 0), (4, 1), (4, 2)]
    encoder = Encoder()
    made(encoder=encoder, guide=OFF._replace(weight=1.0))
    assert encoder.calls == [(6, -2), (6, -1), (8, 0), (8, 1), (8, 2)]


def test_steps_are_counted_over_all_columns() -> None:
    rows: list[tuple[int, tuple[int, ...]]] = []
    made(on_step=lambda row, x, D: rows.append((row, x.shape)))
    assert rows == [(row, (4, K, 1)) for row in range(H * len(PLAN))]


def test_noise_is_drawn_once_for_all_columns_where_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = made()
    monkeypatch.setattr(rollout, "_KEPT", 0)
    np.testing.assert_array_equal(made(), kept)
    calls: list[int] = []
    once = rollout._once(lambda step: calls.append(step) or np.zeros(2))  # type: ignore[func-returns-value]
    monkeypatch.setattr(rollout, "_KEPT", 20)
    for step in (1, 2, 1, 2):
        once(step)
    assert calls == [1, 2, 2]
