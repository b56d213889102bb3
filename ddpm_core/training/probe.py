"""Tests before a training whether the network can overfit one batch. If not, no number of steps will help."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ddpm_core.errors import DdpmError
from ddpm_core.objectives.base import Draw, Loss, Objective
from ddpm_core.objectives.batch import Batch, Share
from ddpm_core.training.config import Constant, TrainConfig
from ddpm_core.training.meter import Measures

STEPS = 100
SHARE = 0.5
"""The loss must fall below this fraction of its first value."""
_LAST = 5  # steps whose mean is the last loss


class OneDraw:
    """An objective that draws once, so that every step has the same data and the same random choices."""

    learns_from_losses = False

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._drawn: Draw | None = None

    def draw(self, batch: Batch, seed: int, step: int, share: Share) -> Draw:
        if self._drawn is None:
            self._drawn = self._objective.draw(batch, seed, step, share)
        return self._drawn

    def loss(self, net: nn.Module, draw: Draw) -> Loss:
        return self._objective.loss(net, draw)

    def observe(self, draw: Draw, items: Tensor, gather: Callable[[Tensor], Tensor]) -> None:
        """Nothing to do, as there is one draw."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """No state."""


def probing(config: TrainConfig[Any]) -> TrainConfig[Any]:
    """The same training, but short, at its full rate, and with a row for each step."""
    return replace(
        config,
        steps=STEPS,
        warmup_steps=min(config.warmup_steps, STEPS // 10),
        lr_schedule=Constant("constant"),
        log_every=1,
        on_nonfinite="stop",
    )


def judged(history: Sequence[Measures]) -> str:
    """The result in words; an error if the loss did not fall far enough."""
    first = history[0].loss
    last = sum(measures.loss for measures in history[-_LAST:]) / _LAST
    said = f"in {len(history)} steps on one batch the loss went from {first:.4g} to {last:.4g}"
    if not last < SHARE * first:
        raise DdpmError(
            f"a network must be able to overfit one batch, to below {SHARE:.0%} of its first loss, but {said}; "
            "look at train.lr (ten times higher or lower), train.grad_clip, train.optimiser, the size of the model, "
            "and at the examples in data/prepared"
        )
    return f"{said}, {last / first:.1%} of it: the network learns\n"
