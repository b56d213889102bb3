"""What is done where a loss or a gradient is no number: the training stops, leaves the step out, or rolls back.

Whatever is done, the number never reaches the weights, the averages or the optimiser; and it is done `nonfinite_limit`
times at most in one training.
"""

import logging
from typing import Any, NoReturn

from ddpm_core.device import torch_seed
from ddpm_core.diffusion.noise import Purpose
from ddpm_core.errors import NonFiniteError
from ddpm_core.training.config import TrainConfig

_log = logging.getLogger(__name__)


class Guard:
    """Counts what was left out or rolled back, and says what that changes for the steps to come."""

    def __init__(self, config: TrainConfig) -> None:
        self.skips, self.rolls_back = config.on_nonfinite == "skip", config.on_nonfinite == "roll_back"
        self.count = 0
        self.passed = 0
        """Batches that roll-backs passed over: step k has batch k + passed."""
        self._limit, self._seed = config.nonfinite_limit, config.seed

    @property
    def seed(self) -> int:
        """The seed of all that is drawn; another one after every roll back, or the same failure would come again."""
        rolled = self.count if self.rolls_back else 0
        return torch_seed(self._seed, Purpose.ROLL_BACK, rolled) if rolled else self._seed

    def leave_out(self, steps: int, step: int, what: str) -> None:
        """Steps that were left out near `step`, or that cannot be, by the policy."""
        if steps and not self.skips:
            self.refuse(step, what)
        self.count += steps
        if self.count > self._limit:
            self.refuse(step, f"{what}; {self.count} steps so far, and train.nonfinite_limit allows {self._limit}")
        if steps:
            _log.warning("near step %d: %s; left out (%d of at most %d)", step, what, self.count, self._limit)

    def roll_back(self, error: NonFiniteError) -> int:
        """Which roll back this is: 1, 2, ...; the error itself where the policy or the limit allows none."""
        if not self.rolls_back:
            raise error
        if self.count >= self._limit:
            raise NonFiniteError(f"{error}; {self.count} roll-backs were made, as many as train.nonfinite_limit allows")
        return self.count + 1

    def refuse(self, step: int, what: str) -> NoReturn:
        raise NonFiniteError(
            f"loss and gradient must be finite numbers, but near step {step} they were not ({what}); the weights were "
            "left as they were; lower train.lr, give train.grad_clip, lengthen train.warmup_steps, or set "
            "train.precision to fp32; with train.on_nonfinite: skip the same command goes on without such steps"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "passed": self.passed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.passed = state["count"], state["passed"]
