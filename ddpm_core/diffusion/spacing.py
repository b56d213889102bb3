"""The levels that a sampler visits: a falling list from noise to level 0, always of exactly `steps` steps.

| spacing   | levels                                       | from                                   |
|-----------|----------------------------------------------|----------------------------------------|
| leading   | 1 + (T / K) i: never reaches T               | Ho et al.'s code, DDIM                 |
| trailing  | T - (T / K) i: begins at T                   | Lin et al. 2024                        |
| linspace  | K even levels from 1 to T, both included     | Nichol & Dhariwal 2021                 |
| quadratic | even in the root of the level: denser at 0   | Song et al. 2021 (DDIM, CIFAR-10)      |
| log_snr   | nearest to even lambda = ln(a / g)           | Lu et al. 2022                         |
| karras    | nearest to even sigma^(1/7), sigma = g / a   | Karras et al. 2022, eq. 5              |
| a list    | these: falling whole numbers that end in 0   | a search on data: `ddpm tune-sampler`  |
"""

from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.errors import ParamsError

Spacing = Literal["leading", "trailing", "linspace", "quadratic", "log_snr", "karras"]
Levels = tuple[int, ...]
"""Explicit levels in place of a rule, noisiest first, 0 last."""
KARRAS_RHO = 7.0


def spaced_levels(spacing: Spacing | Levels, schedule: Schedule, steps: int) -> list[int]:
    """`steps` falling levels out of 1..T, then 0."""
    T = schedule.T
    if isinstance(spacing, tuple | list):
        if fault := fault_of_levels(spacing, steps, T):
            raise ParamsError(fault)
        return list(spacing)
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


def fault_of_levels(levels: Levels | list[int], steps: int, T: int | None = None) -> str | None:
    """What is wrong with explicit levels for so many steps, if anything is."""
    falling = all(t > s for t, s in pairwise(levels)) and bool(levels) and levels[-1] == 0
    if falling and len(levels) == steps + 1 and (T is None or levels[0] <= T):
        return None
    most = "" if T is None else f", none above the schedule's {T}"
    return f"spacing: explicit levels must fall and end in 0, one more than steps = {steps}{most}, got {list(levels)}"


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
