"""How fast each deterministic sampler comes near the exact probability-flow map: levels even in lambda, ends fixed."""

import numpy as np
import pytest

from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.levels import Schedule
from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation

ORACLE = GaussianOracle(0.3, 0.25)


def even_in_lambda(levels: int, process: str, first_step: float | None = None) -> Schedule:
    """Level 1 at lambda = 3, the last at lambda = -3; one level more where the first step is of its own length."""
    lam = np.linspace(3, -3, levels)
    if first_step is not None:
        lam = np.insert(lam, -1, -3 + first_step)
    if process == "vp":
        a, g = np.sqrt(1 / (1 + np.exp(-2 * lam))), np.sqrt(1 / (1 + np.exp(2 * lam)))
    elif process == "ve":
        a, g = np.ones(len(lam)), np.exp(-lam)
    else:
        a, g = 1 / (1 + np.exp(-lam)), 1 / (1 + np.exp(lam))
    return Schedule(np.append(1.0, a), np.append(0.0, g), np.arange(len(lam) + 1, dtype=np.float32), process, 1.0)


def error(sampler, steps: int, process: str, first_step: float | None = None) -> float:
    half = 2 if sampler.kind == "dpmpp_2s" else 1
    schedule = even_in_lambda(steps * half + 1, process, first_step)
    p = Parameterisation("x0", schedule)
    levels = list(range(schedule.T, 0, -half))
    x = np.array([[-1.0], [0.4], [1.5]])
    got = generate(sampler.over(levels, schedule, "fixed_small"), p, ORACLE.network(p), x, lambda step: None)
    return float(np.abs(got - ORACLE.flow(schedule, x, schedule.T, 1)).max())


@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
@pytest.mark.parametrize(
    ("kind", "order"), [("ddim", 1), ("euler", 1), ("dpmpp_1", 1), ("heun", 2), ("dpmpp_2m", 2), ("dpmpp_2s", 2)]
)
def test_order_of_convergence(sampler_of, kind, order, process):
    steps = np.array([40, 80, 160, 320])
    errors = [error(sampler_of(kind, 1), int(k), process) for k in steps]
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
def test_a_corrector_raises_the_order_by_one(sampler_of, process):
    """UniP-2 is of order 2, so UniPC-2 is of order 3 (Zhao et al. 2023, theorem 3.1) for the very same calls."""
    steps = np.array([40, 80, 160, 320])
    errors = [error(sampler_of("unipc_2", 1), int(k), process) for k in steps]
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
def test_three_steps_of_memory_are_of_third_order_after_a_short_first_step(sampler_of, process):
    """The first step, of first order for lack of a past, errs by its length squared: h^1.5 long, that is h^3 too."""
    steps = np.array([320, 640, 1280, 2560])
    errors = [error(sampler_of("dpmpp_3m", 1), int(k), process, (6 / k) ** 1.5) for k in steps]
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
def test_churn_keeps_the_second_order(sampler_of, process):
    """A fixed amount of noise shared out among the steps; in moments, for what the noise itself does is random."""
    steps, errors, finest = np.array([40, 80, 160, 320]), [], 320 * 16
    schedule = even_in_lambda(finest + 1, process)
    p = Parameterisation("x0", schedule)
    start, end = (tuple(float(m) for m in ORACLE.marginal(schedule, t)) for t in (schedule.T, 1))
    for k in steps.tolist():
        sampler = sampler_of("heun_churn", 1, churn=2.0, churn_sigmas=None, churn_noise=1.0)
        plan = sampler.over(list(range(schedule.T, 0, -finest // k)), schedule, "fixed_small")
        assert (plan.s > plan.t).sum() == k - 1
        errors.append(abs(moments(plan, p, ORACLE.network(p), start)[1] - end[1]))
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2, abs=0.1)
