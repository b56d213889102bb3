"""What the trainer knows of an objective: it draws from a batch, and gives the loss of a network on what was drawn."""

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
"""Equal parts of what an objective draws from, lowest first, for which the curves tell the loss apart."""


@dataclass(frozen=True, kw_only=True)
class Draw(ABC):
    """A batch with every random choice made. An objective adds fields of its own.

    Those are arrays, or mappings or tuples of them. Each array has leading B, so that a draw can be cut into parts;
    one without axes is of the whole batch.
    """

    count: Tensor  # what the loss is divided by: elements that count in the whole batch, of all its parts
    band: Tensor | None  # [B], 0 to BANDS - 1: where each item counts in the loss curves

    @abstractmethod
    def __len__(self) -> int: ...

    def parts(self, number: int) -> list[Self]:
        """The same in parts of equal size, or nearly so, which share the whole's count."""
        if number == 1:
            return [self]
        ends = [part * len(self) // number for part in range(number + 1)]
        return [self._part(slice(start, end)) for start, end in pairwise(ends)]

    def tensors(self) -> list[Tensor]:
        """Everything that a loss looks at."""
        found: list[Tensor] = []
        self._mapped(lambda value: found.append(value) if isinstance(value, Tensor) else None)
        return found

    def copied(self) -> Self:
        """The same in tensors of its own."""
        return self._mapped(lambda value: value.clone() if isinstance(value, Tensor) else value)

    def holds(self, other: Self) -> bool:
        """Whether the other's tensors fit into these."""
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
    """The same with every array in it changed."""
    if isinstance(value, Tensor | np.ndarray):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    if isinstance(value, Mapping):
        return {key: _changed(item, change) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Loss:
    """`total` to go backward from (the parts of a batch add up to its loss) and each item's bare loss, detached."""

    total: Tensor
    items: Tensor  # [B]


class Objective(Protocol):
    """What the trainer asks of an objective."""

    @property
    def learns_from_losses(self) -> bool:
        """Whether `observe` must be told of every step's losses (which costs a look at the device)."""
        ...

    def draw(self, batch: Batch, seed: int, step: int, share: Share) -> Draw:
        """The batch with every random choice of a step, a function of (seed, step); of a batch the rows of a share."""
        ...

    def loss(self, net: nn.Module, draw: Any) -> Loss:
        """A function of the draw's tensors alone: a GPU's kernels are recorded, and the Python is not run again."""
        ...

    def observe(self, draw: Any, items: Tensor, gather: Callable[[Tensor], Tensor]) -> None:
        """What the items of the whole batch cost; `gather` gives the rows of all processes, from those of this one."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
