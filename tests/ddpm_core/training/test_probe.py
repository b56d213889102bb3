"""The probe: a network that can learn passes, one that cannot is told, and the draw stays the same."""

from dataclasses import replace

import pytest
import tiny
import torch

from ddpm_core.errors import DdpmError
from ddpm_core.objectives.batch import Share
from ddpm_core.training.meter import Measures
from ddpm_core.training.probe import STEPS, OneDraw, judged, probing
from ddpm_core.training.trainer import Trainer


def probed(lr: float) -> str:
    batch = next(tiny.batches(0))
    config = replace(probing(tiny.CONFIG), lr=lr)
    torch.manual_seed(0)
    trainer = Trainer(
        tiny.Net(0.0),
        OneDraw(tiny.objective(learning_law=True)),
        config,
        lambda _start: iter([batch] * STEPS),
        device=tiny.CPU,
        dtype=torch.float32,
    )
    for _ in trainer.run():
        pass
    assert len(trainer.history) == STEPS
    return judged(trainer.history)


def test_a_network_that_can_learn_passes() -> None:
    assert "of it: the network learns" in probed(0.05)


def test_one_that_cannot_is_told_with_what_to_look_at() -> None:
    with pytest.raises(DdpmError, match=r"to below 50% of its first loss, but in 100 steps .*; look at train.lr"):
        probed(1e-7)


def test_every_step_has_the_same_draw() -> None:
    objective = OneDraw(tiny.objective())
    first, second = (objective.draw(next(tiny.batches(step)), 3, step, Share(0, 1)) for step in (0, 7))
    assert first is second


def test_the_verdict_is_of_the_last_steps() -> None:
    def row(step: int, loss: float) -> Measures:
        return Measures(step, loss, 1.0, 0.1, (None,) * 4)

    falling = [row(step, 1.0 if step < 5 else 0.4) for step in range(10)]
    assert judged(falling).startswith("in 10 steps on one batch the loss went from 1 to 0.4, 40.0% of it")
    with pytest.raises(DdpmError, match="went from 1 to 1;"):
        judged([row(step, 1.0) for step in range(10)])
