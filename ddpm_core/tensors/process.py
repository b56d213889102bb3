"""The forward process in torch: the tables of a parameterisation, read at the levels of a batch.

The host reads them in float64, where the levels are drawn, and copies only the rows of the batch to the device, as
float32. Data may have any trailing shape: no axis is named here.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm_core.diffusion.arrays import per_item
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Floats
from ddpm_core.errors import ParamsError


class Levels(NamedTuple):
    """Rows of the tables, one per datum: `time` [B], all others [B, 1, ...] to broadcast with data [B, ...]."""

    time: Tensor  # the network's time
    c_in: Tensor  # the network is called as net(c_in x_t, time)
    a: Tensor  # x_t = a x_0 + g eps
    g: Tensor
    A: Tensor  # x0_hat = A x_t + B out
    B: Tensor
    of_x0: Tensor  # target = of_x0 x_0 + of_eps eps
    of_eps: Tensor


class Process:
    """x_t = a[t] x_0 + g[t] eps, and the network's target for it."""

    def __init__(self, parameterisation: Parameterisation) -> None:
        schedule = parameterisation.schedule
        A, B, c_in = parameterisation.table()
        a, g = schedule.a, schedule.g
        # x0 = A x_t + B out with x_t = a x0 + g eps, solved for out: exact in float64 where A a is 1 (eps, score).
        with np.errstate(divide="ignore", invalid="ignore"):
            of_x0, of_eps = (1 - A * a) / B, -A * g / B
        self.parameterisation = parameterisation
        self._tables: Floats = np.stack([c_in, a, g, A, B, of_x0, of_eps])

    @property
    def T(self) -> int:
        return self.parameterisation.schedule.T

    def at(self, t: NDArray[np.int64], x: Tensor) -> Levels:
        """The rows at levels t [B], on the device of x and shaped to broadcast with it."""
        self.parameterisation.schedule.must_hold(t, 1)
        if t.shape != x.shape[:1]:
            raise ParamsError(f"levels: must have shape [{x.shape[0]}], one for each datum, got {t.shape}")
        time = to_device(self.parameterisation.schedule.time[t], x.device)
        return Levels(time, *look_up(self._tables, t, x))

    @staticmethod
    def perturb(levels: Levels, x0: Tensor, eps: Tensor) -> Tensor:
        """Ho et al. 2020, eq. 4: a draw from q(x_t | x_0)."""
        return levels.a * x0 + levels.g * eps

    @staticmethod
    def target(levels: Levels, x0: Tensor, eps: Tensor) -> Tensor:
        """The network's target for c_in x_t."""
        return levels.of_x0 * x0 + levels.of_eps * eps

    @staticmethod
    def x0_hat(levels: Levels, x_t: Tensor, out: Tensor) -> Tensor:
        """x0_hat of a network's output, before any clipping."""
        return levels.A * x_t + levels.B * out


def look_up(tables: Floats, t: NDArray[np.int64], x: Tensor) -> tuple[Tensor, ...]:
    """Columns t [B] of tables [K, T + 1], as K tensors [B, 1, ...] of float32 beside x."""
    rows = to_device(tables[:, t].astype(np.float32), x.device)
    return tuple(per_item(row, x) for row in rows)


def to_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy a small array to the device, without waiting for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
