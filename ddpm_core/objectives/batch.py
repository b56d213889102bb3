"""A batch of data, the rows of it that one process has, and dropout of conditions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm_core.diffusion.arrays import per_item
from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.tensors.process import to_device


@dataclass(frozen=True)
class Batch:
    """Data [B, *shape]; conditions, each with leading B; a mask of the elements that count, and their weights."""

    x0: Tensor
    cond: Mapping[str, Tensor]
    mask: Tensor | None = None
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.x0.shape)
        for name, values in (("mask", self.mask), ("weight", self.weight)):
            if values is not None and (values.ndim != len(shape) or values.shape[0] not in (1, shape[0])):
                raise DataError(f"{name}: must have the axes of the data {shape}, got shape {tuple(values.shape)}")
        wrong = {name: len(values) for name, values in self.cond.items() if len(values) != shape[0]}
        if wrong:
            raise DataError(f"conditions: must have one value for each of {shape[0]} data, got {wrong}")

    def __len__(self) -> int:
        return self.x0.shape[0]

    @property
    def filled(self) -> Tensor:
        """The data with 0 where the mask is 0: there may be anything, also NaN."""
        return self.x0 if self.mask is None else torch.where(self.mask > 0, self.x0, torch.zeros_like(self.x0))

    @property
    def elements(self) -> Tensor | None:
        """What each element counts for, mask times weight; None: all count 1."""
        if self.mask is None:
            return None if self.weight is None else self.weight.expand_as(self.x0)
        mask = self.mask.to(self.x0.dtype).expand_as(self.x0)
        return mask if self.weight is None else mask * self.weight

    def to(self, device: torch.device) -> "Batch":
        """Copy to the device, without waiting for it."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """In pinned memory, from which a GPU copies asynchronously."""
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        cond = {name: change(tensor) for name, tensor in self.cond.items()}
        mask, weight = (None if tensor is None else change(tensor) for tensor in (self.mask, self.weight))
        return Batch(change(self.x0), cond, mask, weight)


class Known(NamedTuple):
    """The clean data of a batch, for a network that is trained on what came before: it has `teacher_forced = True`.

    `mask` is above 0 where an element counts; x0 is 0 elsewhere. A network may look at what lies before alone.
    """

    x0: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Share:
    """The rows of every batch that process `number` of `of` has: equal parts, in the processes' order."""

    number: int
    of: int

    def rows(self, size: int) -> slice:
        part = size // self.of
        return slice(self.number * part, (self.number + 1) * part)


WHOLE = Share(0, 1)


@dataclass(frozen=True)
class LabelDropout:
    """Ho & Salimans 2022, for guidance: a fraction of the data gets the null value of its conditions, of all at once.

    Where there are several, each is besides dropped alone as often, so that one can be asked for without the others.
    """

    null: Mapping[str, int | float]
    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ParamsError(f"label dropout: must be a probability between 0 and 1, got {self.probability}")

    def of(self, cond: Mapping[str, Tensor], seed: int, step: int, share: Share) -> Mapping[str, Tensor]:
        """The conditions after dropout: a function of (seed, step), whatever the share."""
        if self.probability == 0:
            return cond
        kept = dict(cond)
        for place, (name, null) in enumerate(self.null.items(), 1):
            size = len(cond[name]) * share.of
            dropped = self._drawn(seed, step, 0, size)
            if len(self.null) > 1:
                dropped = dropped | self._drawn(seed, step, place, size)
            drop = to_device(dropped[share.rows(size)], cond[name].device)
            kept[name] = torch.where(per_item(drop, cond[name]), torch.full_like(cond[name], null), cond[name])
        return kept

    def _drawn(self, seed: int, step: int, item: int, size: int) -> NDArray[np.bool_]:
        drawn: NDArray[np.bool_] = generator(seed, Purpose.LABEL_DROPOUT, step, item).random(size) < self.probability
        return drawn
