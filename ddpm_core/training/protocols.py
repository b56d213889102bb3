"""What the trainer asks of an objective."""

from typing import Any, Protocol

from torch import Tensor, nn

from ddpm_core.objective import Batch, Draw, Loss, Share


class ObjectiveLike(Protocol):
    """What the trainer asks of an objective (`ddpm_core.objective.Objective` is one)."""

    @property
    def learns_from_losses(self) -> bool: ...
    def draw(self, batch: Batch, seed: int, step: int, share: Share) -> Draw: ...
    def loss(self, net: nn.Module, draw: Draw) -> Loss:
        """A function of the draw's tensors alone: a GPU's kernels are recorded, and the Python is not run again."""
        ...

    def observe(self, draw: Draw, items: Tensor) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
