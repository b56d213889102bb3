"""The probability-flow ODE by Dormand & Prince's pair of orders 5 and 4, each image with steps of its own size.

In y = x / a and u = ln(sigma) the ODE (Song et al. 2021, eq. 13) is dy/du = y - D, from the noisiest level with signal
down to level 1, where x0_hat is the result. Between levels a and g follow from sigma by the process, and what the
network is told lies on a straight line in u. Step sizes depend on the sample, so no plan holds them, and an export,
whose samplers are plans, refuses it by name. An image is a function of its own noise: its neighbours do not change it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn

import numpy as np

from ddpm_core.checks import Checks, Config, at_least_1, positive
from ddpm_core.diffusion.arrays import Array, Denoise, full, per_image
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.levels import Floats, Process, Schedule
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.variance import Variance
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.ddim import Ddim

# Dormand & Prince 1980, table 2: times, stages, and the solution of order 5 less that of order 4.
_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_FIRST = 100  # the first step is this part of the way
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0


class Solved(NamedTuple):
    """Images, and how often the network was asked for each of them."""

    x0: Array
    evaluations: list[int]


@dataclass(frozen=True)
class Rk45(Config):
    """`rtol` and `atol` are the error of a step that an image may have, as a root mean square over its elements."""

    kind: Literal["rk45"]
    rtol: float
    atol: float
    most_steps: int
    __checks__: ClassVar[Checks] = {"rtol": positive, "atol": positive, "most_steps": at_least_1}

    def plan(self, schedule: Schedule, variance: Variance) -> NoReturn:
        raise ParamsError(
            "rk45: its step sizes depend on the sample, so it has no plan and cannot be exported; take heun or "
            "dpmpp_2m, or sample with Rk45.sample where the network is at hand"
        )

    def sample(
        self,
        parameterisation: Parameterisation,
        denoise: Denoise,
        x_T: Array,
        *,
        bound: Callable[[Array], Array] | None = None,
    ) -> Solved:
        """As `generate`, without noise after x_T."""
        schedule = parameterisation.schedule
        top = int(np.flatnonzero(schedule.a > 0)[-1])
        asked = np.zeros(x_T.shape[0], dtype=np.int64)
        if top < schedule.T:  # no signal, so no sigma: one step of DDIM
            first = Ddim(1, "trailing", "none", "ddim", 0.0).over([schedule.T, top], schedule, "fixed_small")
            x_T = generate(first, parameterisation, denoise, x_T, lambda _step: None, bound=bound)
            asked += first.evaluations
        flow = _Flow(parameterisation, denoise, bound)
        ends = np.log(schedule.sigma[[top, 1]])
        u = np.full(len(asked), ends[0])
        y = x_T * (1 / float(schedule.a[top]))
        slope = flow(y, u)
        asked += 1
        h = np.full(len(u), (ends[1] - ends[0]) / _FIRST)
        for _ in range(self.most_steps):
            on_way = u > ends[1]
            if not on_way.any():
                return Solved(y - slope, asked.tolist())
            step = np.where(on_way, np.maximum(h, ends[1] - u), 0.0)
            y_next, slope_next, error = _try(flow, y, slope, u, step)
            size = self._size(y, y_next, error)
            good = on_way & (size <= 1)
            u = np.where(good, np.where(step <= ends[1] - u, ends[1], u + step), u)
            y, slope = _taken(y, y_next, good), _taken(slope, slope_next, good)
            asked += 6 * on_way
            h = np.where(on_way, step * np.clip(_SAFETY * size**-0.2, _SHRINK, _GROW), h)
        raise ParamsError(
            f"most_steps: the ODE must be solved in {self.most_steps} steps, and was not; give more, or a larger rtol "
            f"than {self.rtol:g}"
        )

    def _size(self, y: Array, y_next: Array, error: Array) -> Floats:
        """The error of each image in units of what is allowed; what is no number is far too large."""
        allowed = self.atol + self.rtol * np.maximum(_rms(y), _rms(y_next))
        size = _rms(error) / allowed
        return np.where(np.isfinite(size), np.maximum(size, 1e-10), 1e10)


class _Flow:
    """dy/du = y - D at any u, one u an image."""

    def __init__(
        self, parameterisation: Parameterisation, denoise: Denoise, bound: Callable[[Array], Array] | None
    ) -> None:
        schedule = parameterisation.schedule
        signal = schedule.a[1:] > 0
        self._at, self._process = parameterisation.at, schedule.process
        self._u, self._time = np.log(schedule.sigma[1:][signal]), schedule.time[1:][signal].astype(np.float64)
        self._denoise, self._bound = denoise, bound

    def __call__(self, y: Array, u: Floats) -> Array:
        a, g = signal_and_noise(self._process, np.exp(u))
        A, B, c_in = (_column(values, y) for values in self._at(a, g))
        x = _column(a, y) * y
        out = self._denoise(c_in * x, full(y, np.interp(u, self._u, self._time).tolist()))
        D = A * x + B * out[:, : y.shape[1]]
        return y - (D if self._bound is None else self._bound(D))


def signal_and_noise(process: Process, sigma: Floats) -> tuple[Floats, Floats]:
    """(a, g) of a process where g / a is sigma."""
    if process == "ve":
        return np.ones_like(sigma), sigma
    a = 1 / np.sqrt(1 + sigma**2) if process == "vp" else 1 / (1 + sigma)
    return a, sigma * a


def _try(flow: _Flow, y: Array, slope: Array, u: Floats, step: Floats) -> tuple[Array, Array, Array]:
    """One step of each image: where it ends (order 5), the slope there, and the error (order 5 less order 4)."""
    h, slopes = _column(step, y), [slope]
    there = y
    for c, row in zip(_C, _A, strict=True):
        there = y + h * _mix(row, slopes)
        slopes.append(flow(there, u + c * step))
    return there, slopes[-1], h * _mix(_E, slopes)


def _mix(weights: tuple[float, ...], slopes: list[Array]) -> Array:
    total = slopes[0] * weights[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        total = total + weight * slope
    return total


def _column(values: Floats, y: Array) -> Array:
    return per_image(full(y, values.tolist()), y)


def _rms(y: Array) -> Floats:
    """Of each image, on the host."""
    flat = y.reshape(y.shape[0], -1)
    return np.array(((flat * flat).mean(1) ** 0.5).tolist(), dtype=np.float64)


def _taken(old: Array, new: Array, good: Any) -> Array:
    """The new value where the step was good."""
    rows = np.flatnonzero(good).tolist()
    kept = old * 1
    if rows:
        kept[rows] = new[rows]
    return kept
