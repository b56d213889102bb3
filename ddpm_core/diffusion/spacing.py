"""The levels that a sampler visits: a falling list from noise to level 0, always of exactly `steps` steps.

| spacing   | levels                                       | from                                   |
|-----------|----------------------------------------------|----------------------------------------|
| leading   | 1 + (T / K) i: never reaches T               | Ho et al.'s code, DDIM                 |
| trailing  | T - (T / K) i: begins at T                   | Lin et al. 2024                        |
| linspace  | K even levels from 1 to T, both included     | Nichol & Dhariwal 2021                 |
| quadratic | even in the root of the level: denser at 0   | Song et al. 2021 (DDIM, CIFAR-10)      |
| log_snr   | nearest to even lambda = ln(a / g)           | Lu et al. 2022                         |
| karras    | nearest to even sigma^(1/7), sigma = g / a   | Karras et al. 2022, eq. 5              |
"""

from typing import Any, Literal, get_args

import numpy as np

from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.errors import ParamsError

Spacing = Literal["leading", "trailing", "linspace", "quadratic", "log_snr", "karras"]
KARRAS_RHO = 7.0


def spaced_levels(spacing: Spacing, schedule: Schedule, steps: int) -> list[int]:
    """`steps` falling levels out of 1..T, then 0."""
    T = schedule.T
    if spacing not in get_args(Spacing):
        raise ParamsError(f"spacing: must be one of {', '.join(get_args(Spacing))}, got {spacing!r}")
    if schedule.one_level and steps != 1:
        raise ParamsError(f"steps: must be 1 for a model that makes a sample in one evaluation, got {steps}")
    if not isinstance(steps, int | np.integer) or not 1 <= steps <= T:
        raise ParamsError(f"steps: must be from 1 to the schedule's {T} levels, got {steps}")
    if steps == 1:
        return [1 if spacing == "leading" else T, 0]
    i = np.arange(steps)
    if spacing == "leading":
        rising = 1 + (i * T) // steps
    elif spacing == "trailing":
        rising = np.rint(T - (steps - 1 - i) * T / steps)
    elif spacing == "linspace":
        rising = np.rint(np.linspace(1, T, steps))
    elif spacing == "quadratic":
        rising = np.rint(np.linspace(1, T**0.5, steps) ** 2)
    elif spacing == "log_snr":
        rising = _nearest(-schedule.lam[1:], steps, lambda lam: lam)
    else:
        rising = _nearest(schedule.sigma[1:], steps, lambda sigma: sigma ** (1 / KARRAS_RHO))
    return [*_distinct(rising, T)[::-1], 0]


def respaced(schedule: Schedule, levels: list[int]) -> Schedule:
    """Nichol & Dhariwal 2021, section 4: a subset of levels as a schedule; the network gets the original times."""
    rising = sorted(set(levels) | {0})
    return Schedule(
        schedule.a[rising], schedule.g[rising], schedule.time[rising], schedule.process, schedule.sigma_data
    )


def _nearest(rising: Any, steps: int, straighten: Any) -> Any:
    """The levels whose value lies nearest to `steps` values that are even after a transform; the two ends included.

    Where the last level holds no signal its value is infinite: it is taken, and the others are spaced before it.
    """
    T = len(rising)
    if not np.isfinite(rising[-1]):
        before = _nearest(rising[:-1], steps - 1, straighten) if steps > 2 else np.array([1])
        return np.append(before, T)
    values = straighten(rising)
    wanted = np.linspace(values[0], values[-1], steps)
    return 1 + np.abs(values[None, :] - wanted[:, None]).argmin(axis=1)


def _distinct(rising: Any, T: int) -> list[int]:
    """Different whole levels, as near as possible to those wanted."""
    levels = [int(level) for level in rising]
    for i in range(1, len(levels)):
        levels[i] = max(levels[i], levels[i - 1] + 1)
    for i in range(len(levels)):
        levels[i] = min(levels[i], T - (len(levels) - 1 - i))
    return levels
