"""The learning rate as a function of the step, and the optimisers."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ddpm_core.training.config import Adam, AdamW, Cosine, InverseSqrt, OptimiserConfig, TrainConfig
from ddpm_core.training.muon import Muon, matrices_and_rest


def lr_at(config: TrainConfig[Any], step: int) -> float:
    """The rate of update `step` = 0, 1, ...: it rises linearly to `lr`, then follows the schedule."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    schedule = config.lr_schedule
    if isinstance(schedule, Cosine):
        way = (step - config.warmup_steps) / max(1, config.steps - 1 - config.warmup_steps)
        low = schedule.final_fraction
        return config.lr * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, way))))
    if isinstance(schedule, InverseSqrt):
        return config.lr * math.sqrt(schedule.steps_at_full / max(schedule.steps_at_full, step + 1))
    return config.lr


def build_optimiser(config: OptimiserConfig, model: nn.Module) -> Optimizer:
    """Fused: one kernel for all weights, which can also skip an update by a flag on the device."""
    # The trainer sets the rate before every update.
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    on_gpu = any(weight.is_cuda for weight in weights)  # on a GPU the rate may be a tensor, for a recorded step
    if isinstance(config, AdamW):
        return torch.optim.AdamW(
            weights,
            lr=0.0,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
            capturable=on_gpu,
        )
    if isinstance(config, Adam):
        return torch.optim.Adam(weights, lr=0.0, betas=config.betas, eps=config.eps, fused=True, capturable=on_gpu)
    matrices, rest = matrices_and_rest(model)
    return Muon(
        matrices,
        rest,
        scale=config.scale,
        momentum=config.momentum,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
    )
