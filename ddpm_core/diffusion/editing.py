"""Editing with the one sampling loop: a known region, a start between noise and data, and paths between two seeds."""

from dataclasses import fields
from typing import Any

import numpy as np

from ddpm_core.diffusion.arrays import Array, at_levels
from ddpm_core.diffusion.generate import Noise, OnStep
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan, padded
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.errors import ParamsError


def noised(schedule: Schedule, x0: Array, level: Any, z: Array) -> Array:
    """A sample of q(x_t | x_0) at one level, or at one for each datum [B]: the start of a run that varies x_0.

    Continue with a plan `over` the levels below it.
    """
    schedule.must_hold(level)
    return at_levels(schedule.a, level, x0) * x0 + at_levels(schedule.g, level, x0) * z


def levels_from(levels: list[int], schedule: Schedule, strength: float) -> list[int]:
    """The falling levels from `strength` (0..1 of the way to noise) down: all of them at 1, at least one step."""
    if not 0 < strength <= 1:
        raise ParamsError(f"strength: must be above 0 and at most 1, got {strength}")
    kept = [level for level in levels if level <= schedule.level_at(strength)]
    return kept if len(kept) >= 2 else levels[-2:]


def known_region(plan: SamplingPlan, schedule: Schedule, x0: Array, mask: Array, noise: Noise) -> OnStep:
    """An `on_step` that sets the values under `mask` (1 = known) to those of x0, noised to the level of each row.

    `noise` must not be the loop's own: draw it for another purpose, or the known values would be correlated with x.
    """
    if mask.ndim != x0.ndim:
        raise ParamsError(f"mask: must have the axes of the data, {x0.ndim} of them (each may be 1), got {mask.ndim}")
    landings, steps = plan.s.tolist(), plan.noise_step.tolist()

    def replace(row: int, x: Array, D: Array) -> Array:
        known = noised(schedule, x0, landings[row], noise(steps[row])) if landings[row] > 0 else x0
        return mask * known + (1 - mask) * x

    return replace


def with_resampling(plan: SamplingPlan, schedule: Schedule, jump: int, times: int) -> SamplingPlan:
    """Lugmayr et al. 2022 (RePaint): after every `jump` rows go back up by the forward process, and down again.

    Each stretch runs `times` times, so that the unknown region fits the known one better.
    """
    if jump < 1 or times < 1:
        raise ParamsError(f"resampling: jump and times must be at least 1, got {jump} and {times}")
    if plan.memory:
        raise ParamsError(
            f"resampling: needs a sampler without memory, {plan.kind} looks at the row before; take ancestral or ddim"
        )
    parts: list[SamplingPlan] = []
    for first in range(0, len(plan), jump):
        stretch = take(plan, slice(first, first + jump))
        forward = _forward(plan, schedule, int(stretch.s[-1]), int(stretch.t[0]))
        parts += [part for _ in range(times - 1) for part in (stretch, forward)] + [stretch]
    return chain(parts)


def take(plan: SamplingPlan, rows: slice) -> SamplingPlan:
    """Some rows of a plan."""
    return _with_columns(plan, {name: column[rows] for name, column in _columns(plan).items()})


def chain(plans: list[SamplingPlan]) -> SamplingPlan:
    """Plans one after another; each row draws its own noise."""
    rows = {name: [row for plan in plans for row in getattr(plan, name)] for name in _columns(plans[0])}
    columns = {name: padded(values) if name.startswith("past_") else np.array(values) for name, values in rows.items()}
    columns["noise_step"] = np.arange(1, len(columns["t"]) + 1)
    return _with_columns(plans[0], columns)


def slerp(x: Any, y: Any, share: float) -> Any:
    """Spherical interpolation between two noises, item by item: the result keeps their length."""
    flat_x, flat_y = x.reshape(len(x), -1).astype(np.float64), y.reshape(len(y), -1).astype(np.float64)
    norms = np.linalg.norm(flat_x, axis=1) * np.linalg.norm(flat_y, axis=1)
    angle = np.arccos(np.clip((flat_x * flat_y).sum(axis=1) / norms, -1, 1))[:, None]
    near = np.sin(angle) < 1e-6
    safe = np.where(near, 1.0, np.sin(angle))
    of_x = np.where(near, 1 - share, np.sin((1 - share) * angle) / safe)
    of_y = np.where(near, share, np.sin(share * angle) / safe)
    return (of_x * flat_x + of_y * flat_y).reshape(x.shape).astype(x.dtype)


def _columns(plan: SamplingPlan) -> dict[str, Any]:
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _with_columns(plan: SamplingPlan, columns: dict[str, Any]) -> SamplingPlan:
    return SamplingPlan(bound=plan.bound, start_scale=plan.start_scale, kind=plan.kind, **columns)


def _forward(plan: SamplingPlan, schedule: Schedule, s: int, t: int) -> SamplingPlan:
    """One row of q(x_t | x_s), without a network call."""
    rows = PlanBuilder(schedule, plan.kind, plan.bound)
    c_x, variance = float(schedule.root_alpha_between(s, t)), float(schedule.beta_between(s, t))
    rows.add(t, t, c_x=c_x, c_z=variance**0.5)
    return rows.finish()
