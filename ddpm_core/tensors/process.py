"""The forward process in torch: the tables of a parameterisation, looked up at the levels of a batch.

The look-up is done in float64 on the host, where the levels are drawn, and only the rows of the batch travel to the
device, as float32. Data may have any trailing shape: no axis is named here.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Floats
from ddpm_core.errors import ParamsError


class Levels(NamedTuple):
    """Rows of the tables, one a datum: `time` [B], all others [B, 1, ...] to meet data of shape [B, ...]."""

    time: Tensor  # what the network is told
    c_in: Tensor  # the network is asked as net(c_in x_t, time)
    a: Tensor  # x_t = a x_0 + g eps
    g: Tensor
    A: Tensor  # x0_hat = A x_t + B out
    B: Tensor
    of_x0: Tensor  # target = of_x0 x_0 + of_eps eps
    of_eps: Tensor


class Process:
    """x_t = a[t] x_0 + g[t] eps, and what a network should answer to it."""

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
        """The rows at levels t [B], on the device of x and shaped to meet it."""
        self.parameterisation.schedule.must_hold(t, 1)
        if t.shape != x.shape[:1]:
            raise ParamsError(f"levels: must be one a datum, [{x.shape[0]}], got shape {t.shape}")
        time = to_device(self.parameterisation.schedule.time[t], x.device)
        return Levels(time, *look_up(self._tables, t, x))

    @staticmethod
    def perturb(levels: Levels, x0: Tensor, eps: Tensor) -> Tensor:
        """Ho et al. 2020, eq. 4: a draw from q(x_t | x_0)."""
        return levels.a * x0 + levels.g * eps

    @staticmethod
    def target(levels: Levels, x0: Tensor, eps: Tensor) -> Tensor:
        """What the network should answer to c_in x_t."""
        return levels.of_x0 * x0 + levels.of_eps * eps

    @staticmethod
    def x0_hat(levels: Levels, x_t: Tensor, out: Tensor) -> Tensor:
        """The data that an answer speaks of, before any clipping."""
        return levels.A * x_t + levels.B * out


def look_up(tables: Floats, t: NDArray[np.int64], x: Tensor) -> tuple[Tensor, ...]:
    """Columns t [B] of tables [K, T + 1], as K tensors [B, 1, ...] of float32 beside x."""
    rows = to_device(tables[:, t].astype(np.float32), x.device)
    return tuple(per_item(row, x) for row in rows)


def per_item(values: Tensor, x: Tensor) -> Tensor:
    """[B] -> [B, 1, ...], to meet x."""
    return values.reshape(values.shape[:1] + (1,) * (x.ndim - 1))


def to_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """A small array on the device, without waiting for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
