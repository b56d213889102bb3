"""The policy for a non-finite loss or gradient: stop, skip the step, or roll back.

The value never reaches the weights, the averages or the optimiser. A training skips or rolls back at most
`nonfinite_limit` times.
"""

import logging
from typing import Any, NoReturn

from ddpm_core.device import torch_seed
from ddpm_core.diffusion.noise import Purpose
from ddpm_core.errors import NonFiniteError
from ddpm_core.training.config import TrainConfig

_log = logging.getLogger(__name__)


class Guard:
    """Counts skipped steps and roll-backs, and applies the limit."""

    def __init__(self, config: TrainConfig[Any]) -> None:
        self.skips, self.rolls_back = config.on_nonfinite == "skip", config.on_nonfinite == "roll_back"
        self.count = 0
        self.passed = 0
        """Batches that roll-backs skipped: step k has batch k + passed."""
        self._limit, self._seed = config.nonfinite_limit, config.seed

    @property
    def seed(self) -> int:
        """The seed of all draws; a new one after every roll-back, or the same failure would come again."""
        rolled = self.count if self.rolls_back else 0
        return torch_seed(self._seed, Purpose.ROLL_BACK, rolled) if rolled else self._seed

    def leave_out(self, steps: int, step: int, what: str) -> None:
        """Count `steps` skipped steps near `step`; an error if the policy or the limit forbids them."""
        if steps and not self.skips:
            self.refuse(step, what)
        self.count += steps
        if self.count > self._limit:
            self.refuse(step, f"{what}; {self.count} steps so far, and train.nonfinite_limit allows {self._limit}")
        if steps:
            _log.warning("near step %d: %s; skipped (%d of at most %d)", step, what, self.count, self._limit)

    def roll_back(self, error: NonFiniteError) -> int:
        """The number of this roll-back, from 1; raises the error if the policy or the limit allows none."""
        if not self.rolls_back:
            raise error
        if self.count >= self._limit:
            raise NonFiniteError(
                f"{error}; there were {self.count} roll-backs, as many as train.nonfinite_limit allows"
            )
        return self.count + 1

    def refuse(self, step: int, what: str) -> NoReturn:
        raise NonFiniteError(
            f"loss and gradient must be finite, but near step {step} they were not ({what}); the weights are "
            "unchanged; lower train.lr, give train.grad_clip, lengthen train.warmup_steps, or set "
            "train.precision to fp32; with train.on_nonfinite: skip the same command continues without such steps"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "passed": self.passed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.passed = state["count"], state["passed"]
