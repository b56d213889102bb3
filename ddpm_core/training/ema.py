"""The moving average of the weights, which is what ships."""

from copy import deepcopy

import torch
from torch import Tensor, nn


class Ema:
    """averaged <- d averaged + (1 - d) weights after update k = 0, 1, ..., with d = min(decay, (1 + k) / (warmup + k)).

    The warm-up keeps the first weights, which are noise, out of early averages; with `warmup` 1 there is none.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: float) -> None:
        self.decay, self.warmup = decay, warmup
        self.model = deepcopy(model).requires_grad_(False).eval()
        self._averaged: list[Tensor] = list(self.model.parameters())

    def decay_at(self, step: int) -> float:
        return min(self.decay, (1 + step) / (self.warmup + step))

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, bad: Tensor | None = None) -> None:
        """Take in the weights after update `step`, unless `bad` is 1 on the device; buffers are copied."""
        share = 1 - self.decay_at(step)
        weights: list[Tensor] = list(model.parameters())
        if bad is None:
            torch._foreach_lerp_(self._averaged, weights, share)
        else:
            way = torch._foreach_sub(weights, self._averaged)
            torch._foreach_mul_(way, share * (1 - bad))
            torch._foreach_add_(self._averaged, way)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
