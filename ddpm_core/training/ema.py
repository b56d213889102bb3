"""The moving averages of the weights: one ships, others of other widths may be kept beside it."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

FURTHER = "ema-"
"""A further average's tensors are named `ema-<decay>/<name of the weight>`."""

BEST = "best/"
"""The averages of the step that was best on data held out are named `best/<name of the weight>`."""


class Ema:
    """averaged <- d averaged + (1 - d) weights after update k = 0, 1, ..., with d = min(decay, (1 + k) / (warmup + k)).

    The warm-up keeps the first weights, which are noise, out of early averages; with `warmup` 1 there is none. `model`
    has the average of `decay`; those of the decays in `more` cost a pass over the weights each.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: float, more: Sequence[float] = ()) -> None:
        self.decay, self.warmup = decay, warmup
        self.model = deepcopy(model).requires_grad_(False).eval()
        self._names = [name for name, _ in self.model.named_parameters()]
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._further = {other: [weight.clone() for weight in self._averaged] for other in more}

    def decay_at(self, step: int, decay: float) -> float:
        return min(decay, (1 + step) / (self.warmup + step))

    def shares(self, step: int) -> list[float]:
        """What the weights after update `step` count in each average, the one that ships first."""
        return [1 - self.decay_at(step, decay) for decay in (self.decay, *self._further)]

    @torch.no_grad()
    def update(self, model: nn.Module, shares: Sequence[float | Tensor], bad: Tensor | None = None) -> None:
        """Take in weights by their shares, unless `bad` is 1 on the device; buffers are copied."""
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
    """The network's tensors in those of a weights file: as they ship, with a further decay's average, or the best."""
    chosen = {name: tensor for name, tensor in tensors.items() if not name.startswith((FURTHER, BEST))}
    prefix = BEST if best else "" if decay is None else f"{FURTHER}{decay!r}/"
    if prefix:
        chosen |= {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return chosen
