"""Exponential moving averages (EMA) of the weights: one is exported, others with other decays may be kept with it."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

FURTHER = "ema-"
"""The tensors of a further average are named `ema-<decay>/<name of the weight>`."""

BEST = "best/"
"""The averages of the best step on held-out data are named `best/<name of the weight>`."""


class Ema:
    """averaged <- d averaged + (1 - d) weights after update k = 0, 1, ..., with d = min(decay, (1 + k) / (warmup + k)).

    The warm-up keeps the initial, random weights out of early averages; `warmup` 1 disables it. `model` has the average
    of `decay`; each decay in `more` costs another pass over the weights.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: float, more: Sequence[float] = ()) -> None:
        self.decay, self.warmup = decay, warmup
        self.model = deepcopy(model).requires_grad_(False).eval()
        for module in self.model.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()  # a copy's lie apart, and cuDNN would put them together at each call
        self._names = [name for name, _ in self.model.named_parameters()]
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._further = {other: [weight.clone() for weight in self._averaged] for other in more}

    def decay_at(self, step: int, decay: float) -> float:
        return min(decay, (1 + step) / (self.warmup + step))

    def shares(self, step: int) -> list[float]:
        """The share of the weights after update `step` in each average; the exported one first."""
        return [1 - self.decay_at(step, decay) for decay in (self.decay, *self._further)]

    @torch.no_grad()
    def update(self, model: nn.Module, shares: Sequence[float | Tensor], bad: Tensor | None = None) -> None:
        """Update the averages by these shares, unless `bad` is 1 on the device; copy the buffers."""
        weights: list[Tensor] = list(model.parameters())
        for averaged, share in zip((self._averaged, *self._further.values()), shares, strict=True):
            _approach(averaged, weights, share, bad)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def further(self) -> dict[str, Tensor]:
        """The weights of the further averages by name; the tensors themselves."""
        return {
            f"{FURTHER}{decay!r}/{name}": tensor
            for decay, averaged in self._further.items()
            for name, tensor in zip(self._names, averaged, strict=True)
        }

    def load_further(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `further`."""
        for name, mine in self.further().items():
            mine.copy_(tensors[name])


def _approach(averaged: list[Tensor], weights: list[Tensor], share: float | Tensor, bad: Tensor | None) -> None:
    if bad is None:
        torch._foreach_lerp_(averaged, weights, float(share))
        return
    way = torch._foreach_sub(weights, averaged)
    torch._foreach_mul_(way, share * (1 - bad))
    torch._foreach_add_(averaged, way)


def average_of(tensors: Mapping[str, Tensor], decay: float | None, *, best: bool = False) -> dict[str, Tensor]:
    """The network's tensors from a weights file: the exported average, that of another decay, or the best step's."""
    chosen = {name: tensor for name, tensor in tensors.items() if not name.startswith((FURTHER, BEST))}
    prefix = BEST if best else "" if decay is None else f"{FURTHER}{decay!r}/"
    if prefix:
        chosen |= {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return chosen
