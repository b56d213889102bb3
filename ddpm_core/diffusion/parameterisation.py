"""What the network predicts, as one affine table: x0_hat = A x_t + B out, the network asked as net(c_in x_t, time).

| target | out                              | A            | B        | where            |
|--------|----------------------------------|--------------|----------|------------------|
| eps    | the noise                        | 1 / a        | -g / a   | a_T > 0          |
| x0     | the data                         | 0            | 1        | everywhere       |
| v      | a eps - g x0                     | a            | -g       | VP               |
| mu     | the mean of q(x_{t-1} | x_t, x0) | -c_x / c_D   | 1 / c_D  | VP, whole levels |
| score  | -eps / g                         | 1 / a        | g^2 / a  | a_T > 0          |
| flow   | eps - x0                         | 1 / (a + g)  | -g/(a+g) | everywhere       |
| edm    | Karras et al. 2022, eq. 7        | c_skip       | c_out    | VE               |
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from ddpm_core.diffusion.arrays import Denoise, at_levels, times, to_numpy
from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.errors import ParamsError

Target = Literal["eps", "x0", "v", "mu", "score", "flow", "edm"]
_NEEDS_SIGNAL = ("eps", "score")


@dataclass(frozen=True, eq=False)
class Parameterisation:
    """A target on a schedule.

    For reading a network's output, at one multiply-add a datum. Not every target fits every schedule: docs/maths.md.

    >>> Parameterisation("v", schedule).x0_of(out, x_t, t)
    """

    target: Target
    schedule: Schedule

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise ParamsError(f"target: must be one of {', '.join(get_args(Target))}, got {self.target!r}")
        process = self.schedule.process
        if self.target in _NEEDS_SIGNAL and not self.schedule.a[-1] > 0:
            raise ParamsError(
                f"target {self.target}: nothing can be recovered from x_T where no signal is left (a_T = 0); "
                "take v, x0 or flow, or a schedule that is not rescaled to zero terminal SNR"
            )
        if self.target in ("v", "mu") and process != "vp":
            raise ParamsError(f"target {self.target}: belongs to VP schedules, got a {process} one; take x0 or eps")
        if self.target == "edm" and process != "ve":
            raise ParamsError(f"target edm: belongs to VE schedules, got a {process} one; take v")

    @cached_property
    def _table(self) -> tuple[Floats, Floats, Floats]:
        a, g = self.schedule.a, self.schedule.g
        if self.target == "mu":
            t = np.arange(1, self.schedule.T + 1)
            of_x_t, of_x_0 = self.schedule.posterior_mean_between(t - 1, t)
            A, B = np.append(0.0, -of_x_t / of_x_0), np.append(1.0, 1 / of_x_0)
            return A, B, np.ones_like(a)
        return self.at(a, g)

    def table(self) -> tuple[Floats, Floats, Floats]:
        """(A, B, c_in) over the levels 0..T."""
        return self._table

    def at(self, a: Any, g: Any) -> tuple[Any, Any, Any]:
        """(A, B, c_in) at any levels, whole or not, from their a and g; array in, array out."""
        a, g = np.asarray(a, np.float64), np.asarray(g, np.float64)
        one, c_in = np.ones_like(a), self._input_scale(a, g)
        if self.target == "eps":
            return 1 / a, -g / a, c_in
        if self.target == "score":
            return 1 / a, g**2 / a, c_in
        if self.target == "x0":
            return 0 * one, one, c_in
        if self.target == "v":
            return a, -g, c_in
        if self.target == "flow":
            return 1 / (a + g), -g / (a + g), c_in
        if self.target == "edm":
            spread = self.schedule.sigma_data
            return spread**2 * c_in**2, g * spread * c_in, c_in
        raise ParamsError("target mu: is defined between whole levels only; take another target for continuous levels")

    def _input_scale(self, a: Floats, g: Floats) -> Floats:
        """Karras et al. 2022, table 1: under VE the input is scaled to unit variance; elsewhere it has it already."""
        if self.schedule.process != "ve":
            return np.ones_like(a)
        scale: Floats = 1 / np.sqrt((a * self.schedule.sigma_data) ** 2 + g**2)
        return scale

    def target_of(self, x0: Any, x_t: Any, eps: Any, t: Any) -> Any:
        """The network's training target at levels t: one, or one for each datum [B]; in x0's framework and type."""
        self.schedule.must_hold(t, 1)
        a, g = at_levels(self.schedule.a, t, x0), at_levels(self.schedule.g, t, x0)
        if self.target == "eps":
            return eps
        if self.target == "x0":
            return x0
        if self.target == "v":
            return a * eps - g * x0
        if self.target == "score":
            return -eps / g
        if self.target == "flow":
            return eps - x0
        A, B, _ = self.table()
        return (x0 - at_levels(A, t, x0) * x_t) / at_levels(B, t, x0)

    def x0_of(self, out: Any, x_t: Any, t: Any) -> Any:
        """x0_hat at levels t, one or one for each datum [B], before any clipping."""
        self.schedule.must_hold(t)
        A, B, _ = self.table()
        return at_levels(A, t, x_t) * x_t + at_levels(B, t, x_t) * out


def eps_of(schedule: Schedule, x0_hat: Any, x_t: Any, t: Any) -> Any:
    """The noise that belongs to an x0_hat, (x_t - a x0_hat) / g, at one level or at one for each datum [B]."""
    schedule.must_hold(t, 1)
    return (x_t - at_levels(schedule.a, t, x_t) * x0_hat) / at_levels(schedule.g, t, x_t)


def score_of(schedule: Schedule, x0_hat: Any, x_t: Any, t: Any) -> Any:
    """Song et al. 2021: the score of the marginal at level t, -eps_hat / g (under VP g = sqrt(1 - alpha_bar))."""
    return -eps_of(schedule, x0_hat, x_t, t) / at_levels(schedule.g, t, x_t)


def score_fn(parameterisation: Parameterisation, denoise: Denoise) -> Callable[[Any, Any], Any]:
    """The score of the marginals by a network: `score(x, t)` of x [B, C, ...], t one level or one for each datum.

    >>> score_fn(parameterisation, denoise)(x, 600)
    """
    schedule = parameterisation.schedule
    c_in = parameterisation.table()[2]

    def score(x: Any, t: Any) -> Any:
        schedule.must_hold(t, 1)
        out = denoise(at_levels(c_in, t, x) * x, times(x, schedule.time[np.asarray(to_numpy(t))].tolist()))
        return score_of(schedule, parameterisation.x0_of(out[:, : x.shape[1]], x, t), x, t)

    return score
