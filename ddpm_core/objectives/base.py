"""The interface of an objective: it makes a draw from a batch, and gives the loss of a network on a draw."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_core.objectives.batch import Batch, Share

BANDS = 4
"""The number of bands of the loss curves: equal parts of the range of an objective's draws, lowest first."""


@dataclass(frozen=True, kw_only=True)
class Draw(ABC):
    """A batch with every random choice made. An objective adds its own fields.

    Those are arrays, or mappings or tuples of them. Each array has leading B, so that a draw can be split into parts;
    one without axes belongs to the whole batch.
    """

    count: Tensor  # the divisor of the loss: elements that count, in the whole batch
    band: Tensor | None  # [B], 0 to BANDS - 1: the item's band in the loss curves

    @abstractmethod
    def __len__(self) -> int: ...

    def parts(self, number: int) -> list[Self]:
        """Split into parts of (nearly) equal size, each with the count of the whole."""
        if number == 1:
            return [self]
        ends = [part * len(self) // number for part in range(number + 1)]
        return [self._part(slice(start, end)) for start, end in pairwise(ends)]

    def tensors(self) -> list[Tensor]:
        """All tensors of the draw."""
        found: list[Tensor] = []
        self._mapped(lambda value: found.append(value) if isinstance(value, Tensor) else None)
        return found

    def copied(self) -> Self:
        """A copy with new tensors."""
        return self._mapped(lambda value: value.clone() if isinstance(value, Tensor) else value)

    def holds(self, other: Self) -> bool:
        """Whether the other's tensors have the same shapes and types."""
        mine, others = self.tensors(), other.tensors()
        return [(one.shape, one.dtype) for one in mine] == [(one.shape, one.dtype) for one in others]

    def take(self, other: Self) -> None:
        """Copy the other's tensors into these."""
        torch._foreach_copy_(self.tensors(), other.tensors())

    def _part(self, place: slice) -> Self:
        return self._mapped(lambda value: value[place] if value.ndim else value)

    def _mapped(self, change: Callable[[Any], Any]) -> Self:
        return type(self)(**{field.name: _changed(getattr(self, field.name), change) for field in fields(self)})


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply `change` to every array in a value."""
    if isinstance(value, Tensor | np.ndarray):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    if isinstance(value, Mapping):
        return {key: _changed(item, change) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Loss:
    """`total` for the backward pass (the totals of a batch's parts sum to its loss); each item's loss, detached."""

    total: Tensor
    items: Tensor  # [B]


class Objective(Protocol):
    """What the trainer needs of an objective."""

    @property
    def learns_from_losses(self) -> bool:
        """Whether `observe` needs every step's losses (which costs a wait for the device)."""
        ...

    def draw(self, batch: Batch, seed: int, step: int, share: Share) -> Draw:
        """Make every random choice of a step, a function of (seed, step). `batch` has the rows of `share` alone."""
        ...

    def loss(self, net: nn.Module, draw: Any) -> Loss:
        """A function of the draw's tensors alone: on a GPU the kernels are recorded and Python does not run again."""
        ...

    def observe(self, draw: Any, items: Tensor, gather: Callable[[Tensor], Tensor]) -> None:
        """Take in the losses of the whole batch; `gather` gives the rows of all processes from those of this one."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
