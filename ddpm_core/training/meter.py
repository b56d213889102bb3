"""Averages over a window of steps, summed on the device so that no step waits for the host."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ddpm_core.objectives.base import BANDS

_BAD = 3


@dataclass(frozen=True)
class Measures:
    """Means over a window of steps that ends with `step`; a band without items is None."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    bands: tuple[float | None, ...]

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Measures":
        return cls(**{**value, "bands": tuple(value["bands"])})


class Meter:
    """The sums of the current window."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4 + 2 * BANDS, dtype=torch.float64, device=device)
        self._left_out = torch.zeros_like(self._sums)  # what a non-finite step adds: only the count of such steps
        self._left_out[_BAD] = 1

    def add(self, loss: Tensor, grad_norm: Tensor, bad: Tensor, band: Tensor, items: Tensor) -> None:
        """Add a step: its loss, gradient norm, whether it was non-finite, and each item's band (-1: none) and loss."""
        member = (band[:, None] == torch.arange(BANDS, device=band.device)).double()
        per_band = (member * items.double()[:, None]).sum(0)
        one = torch.ones_like(loss)
        row = torch.cat([torch.stack([one, loss, grad_norm, bad]).double(), per_band, member.sum(0)])
        self._sums += torch.where(bad > 0, self._left_out, row)

    def bad(self) -> int:
        """The number of non-finite steps in the window so far."""
        return int(self._sums[_BAD])

    def read(self, step: int, lr: float) -> tuple[Measures | None, int]:
        """The means over the finite steps, if any, and the number of non-finite ones; starts the next window."""
        steps, loss, norm, bad, *bands = self._sums.tolist()
        self._sums.zero_()
        if not steps:
            return None, int(bad)
        means = [total / n if n else None for total, n in zip(bands[:BANDS], bands[BANDS:], strict=True)]
        return Measures(step, loss / steps, norm / steps, lr, tuple(means)), int(bad)

    def state(self) -> Tensor:
        return self._sums

    def load(self, sums: Tensor) -> None:
        self._sums.copy_(sums)


class Throughput:
    """What the speed of the current window is measured by."""

    def __init__(self) -> None:
        self.began, self.waited, self.items = perf_counter(), 0.0, 0

    def rates(self) -> tuple[float, float]:
        """Items per second, and the fraction of time spent waiting for data."""
        seconds = max(perf_counter() - self.began, 1e-9)
        return self.items / seconds, self.waited / seconds
