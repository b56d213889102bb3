"""What a single step of a training does to the averages, and what chance its network meets."""

from itertools import islice
from typing import Any

import tiny
import torch
from torch import Tensor, nn


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def test_an_average_takes_in_the_weights_that_its_step_has_just_made() -> None:
    trainer = tiny.trainer(None, ema_decay=0.75, ema_warmup=1.0)  # a warm-up of 1 is none
    averaged = weights(trainer.model)
    for _ in islice(trainer.run(), 6):
        averaged = 0.75 * averaged + 0.25 * weights(trainer.model)
        torch.testing.assert_close(weights(trainer.ema.model), averaged, rtol=1e-5, atol=1e-7)


def test_the_network_meets_other_chance_at_each_step() -> None:
    trainer, seeds = tiny.trainer(None, log_every=5), []

    def note(*_words: Any) -> None:
        seeds.append(torch.initial_seed())

    trainer.model.register_forward_pre_hook(note)
    assert len(list(trainer.run())) == 24
    assert len(set(seeds)) == len(seeds) == 24
