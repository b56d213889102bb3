"""The loss of the averaged weights on held-out training data, and the step with the lowest one.

The held-out data are training data: the test split is for the evaluation alone, so it must not choose a step.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_core.device import torch_seed
from ddpm_core.diffusion.noise import Purpose
from ddpm_core.objectives.base import Objective
from ddpm_core.objectives.batch import WHOLE, Batch

_log = logging.getLogger(__name__)


class HeldOut:
    """The loss of a network on held-out data, with the same draws each time."""

    def __init__(
        self, objective: Objective, batches: Sequence[Batch], seed: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._objective, self._batches, self._device, self._dtype = objective, batches, device, dtype
        self._seed = torch_seed(seed, Purpose.HELD_OUT, 0)

    @torch.no_grad()
    def __call__(self, net: nn.Module, parts: int = 1) -> float:
        """The mean loss, with each batch in so many parts, like the training's if memory is short."""
        total = elements = 0.0
        for number, batch in enumerate(self._batches):
            draw = self._objective.draw(batch.to(self._device), self._seed, number, WHOLE)
            count = float(draw.count)
            for part in draw.parts(min(parts, len(batch))):
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
                    loss = self._objective.loss(net, part)
                total += float(loss.total) * count
            elements += count
        return total / max(elements, 1.0)


class Best:
    """The averages with the lowest loss on held-out data (the first of equals), and all these losses."""

    def __init__(self, model: nn.Module, measure: Callable[[nn.Module, int], float]) -> None:
        self._model, self._measure = model, measure
        self._tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self.losses: dict[int, float] = {}
        self.step: int | None = None

    def judge(self, step: int, parts: int = 1) -> float | None:
        """The loss of the averages after this step, computed in parts; keeps them if it is the lowest."""
        loss = self._measure(self._model, parts)
        if not math.isfinite(loss):
            _log.warning("at step %d the loss on held-out data is not finite; this step cannot be the best", step)
            return None
        if self.step is None or loss < self.losses[self.step]:
            self.step = step
            self._copy(self._model.state_dict())
        self.losses[step] = loss
        return loss

    def tensors(self) -> dict[str, Tensor]:
        """The best averages by name (the tensors, not copies)."""
        return self._tensors

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "losses": [list(pair) for pair in self.losses.items()]}

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.step, self.losses = state["step"], {int(step): float(loss) for step, loss in state["losses"]}
        self._copy(tensors)

    def _copy(self, tensors: Mapping[str, Tensor]) -> None:
        for name, mine in self._tensors.items():
            mine.copy_(tensors[name])
