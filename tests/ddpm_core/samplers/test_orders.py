"""How fast each sampler comes near the exact answer: its declared order, measured where levels are even in lambda."""

from typing import Any

import numpy as np
import pytest

from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.samplers.config import sampler_kinds

ORACLE = GaussianOracle(0.3, 0.25)
FINER = 16  # levels a step, so that a sampler has levels between its own
# Noise that does not grow with the number of steps, whatever a step's size.
SETTINGS: dict[str, dict[str, Any]] = {"heun_churn": {"churn": 2.0, "churn_sigmas": None, "churn_noise": 1.0}}


def even_in_lambda(levels: int, process: str, first_step: float | None = None) -> Schedule:
    """Level 1 at lambda = 3, the last at lambda = -3; one level more where the first step is of its own length."""
    lam = np.linspace(3, -3, levels)
    if first_step is not None:
        lam = np.insert(lam, -1, -3 + first_step)
    return of_lambda(lam, process)


def of_lambda(lam: np.ndarray, process: str) -> Schedule:
    if process == "vp":
        a, g = np.sqrt(1 / (1 + np.exp(-2 * lam))), np.sqrt(1 / (1 + np.exp(2 * lam)))
    elif process == "ve":
        a, g = np.ones(len(lam)), np.exp(-lam)
    else:
        a, g = 1 / (1 + np.exp(-lam)), 1 / (1 + np.exp(lam))
    return Schedule(np.append(1.0, a), np.append(0.0, g), np.arange(len(lam) + 1, dtype=np.float32), process, 1.0)


def error(sampler: Any, steps: int, process: str) -> float:
    """Of mean and deviation, after so many steps from lambda = -3 to 3, from the exact law at the level above.

    The first step, of first order where a sampler has no past yet, errs by its length squared: it is h^1.5 long, so
    that this is h^3 too.
    """
    finest = 6 / (steps * FINER)
    extra = round((6 / steps) ** 1.5 / finest)
    lam = 3 - finest * np.arange(steps * FINER + 1 + extra)
    schedule = of_lambda(lam, process)
    levels = [schedule.T, *range(steps * FINER + 1, 0, -FINER)]
    p = Parameterisation("x0", schedule)
    start, end = (tuple(float(m) for m in ORACLE.marginal(schedule, t)) for t in (schedule.T, 1))
    mean, variance = moments(sampler.over(levels, schedule, "fixed_small"), p, ORACLE.network(p), start)
    return abs(mean - end[0]) + abs(variance**0.5 - end[1] ** 0.5)


@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
@pytest.mark.parametrize("kind", [kind for kind, cls in sampler_kinds().items() if cls.order is not None])
def test_twice_the_steps_divide_the_error_by_2_to_the_declared_order(sampler_of, kind, process):
    """UniPC-2 is of order 3 by its corrector (Zhao et al. 2023, theorem 3.1) for the very calls of its predictor."""
    sampler = sampler_of(kind, 1, **SETTINGS.get(kind, {}))
    few, many = (error(sampler, steps, process) for steps in (160, 320))
    assert np.log2(few / many) == pytest.approx(sampler.order, abs=0.25)


def test_the_deterministic_samplers_come_near_the_flow_point_by_point(sampler_of):
    """Not in law alone: x goes where the exact ODE takes it."""
    from ddpm_core.diffusion.generate import generate

    schedule, x = even_in_lambda(641, "vp"), np.array([[-1.0], [0.4], [1.5]])
    p = Parameterisation("x0", schedule)
    for kind in ("ddim", "euler", "dpmpp_1", "heun", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m", "unipc_2"):
        plan = sampler_of(kind, 1).over(list(range(641, 0, -2)), schedule, "fixed_small")
        found = generate(plan, p, ORACLE.network(p), x, lambda step: None)
        # DDIM's error is of first order; that of the others is what the first step of first order leaves.
        assert np.abs(found - ORACLE.flow(schedule, x, 641, 1)).max() < (2e-2 if plan.memory == 0 else 1e-3)


def test_churn_adds_noise_at_every_step_but_the_first(sampler_of):
    schedule = even_in_lambda(321, "vp")
    sampler = sampler_of("heun_churn", 1, **SETTINGS["heun_churn"])
    plan = sampler.over(list(range(schedule.T, 0, -16)), schedule, "fixed_small")
    assert (plan.s > plan.t).sum() == 20 - 1
