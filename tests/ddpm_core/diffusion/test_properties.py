"""Laws for any process and any levels, found faults shrunk by hypothesis."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import OptimalVariance
from ddpm_core.samplers.ancestral import Ancestral
from ddpm_core.samplers.ddim import Ddim


@st.composite
def processes(draw):
    """A schedule of 2 to 8 levels at any falling lambda, of any process."""
    lam = sorted(
        draw(st.lists(st.floats(-5, 5), min_size=2, max_size=8, unique_by=lambda v: round(v, 2))), reverse=True
    )
    lam = np.array(lam)
    process = draw(st.sampled_from(["vp", "ve", "flow"]))
    if process == "vp":
        a, g = (1 + np.exp(-2 * lam)) ** -0.5, (1 + np.exp(2 * lam)) ** -0.5
    elif process == "ve":
        a, g = np.ones_like(lam), np.exp(-lam)
    else:
        a, g = 1 / (1 + np.exp(-lam)), 1 / (1 + np.exp(lam))
    time = np.arange(len(lam) + 1, dtype=np.float32)
    return Schedule(np.append(1.0, a), np.append(0.0, g), time, process, draw(st.floats(0.1, 3)))


oracles = st.builds(GaussianOracle, st.floats(-2, 2), st.floats(0.01, 4))
quick = settings(max_examples=60, deadline=None)


@quick
@given(processes(), oracles)
def test_ancestral_with_the_optimal_variance_keeps_every_marginal(schedule, oracle):
    p = Parameterisation("x0", schedule)
    plan = Ancestral(1, "trailing", "none", "ancestral").over(
        range(schedule.T, 0, -1), schedule, OptimalVariance(oracle.x0_variance(schedule))
    )
    start = tuple(float(m) for m in oracle.marginal(schedule, schedule.T))
    want = [float(m) for m in oracle.marginal(schedule, 1)]
    assert moments(plan, p, oracle.network(p), start) == pytest.approx(want, rel=1e-8, abs=1e-10)


@quick
@given(processes(), oracles, st.sampled_from(["x0", "eps", "score", "flow"]), st.floats(0, 1))
def test_result_does_not_depend_on_what_the_network_predicts(schedule, oracle, target, eta):
    plan = Ddim(1, "trailing", "none", "ddim", eta).over(range(schedule.T, -1, -1), schedule, "fixed_small")
    by_x0, by_target = (Parameterisation("x0", schedule), Parameterisation(target, schedule))
    one, two = (moments(plan, p, oracle.network(p)) for p in (by_x0, by_target))
    assert two == pytest.approx(one, rel=1e-7, abs=1e-9)


@quick
@given(processes(), st.floats(-2, 2), st.floats(-3, 3), st.floats(0, 1))
def test_ddim_moves_one_datum_along_its_own_path(schedule, x0, eps, eta):
    """Data of a single point: the sampler carries a x_0 + g eps to a_s x_0 + g_s eps, and adds what noise eta asks."""
    oracle = GaussianOracle(x0, 1e-18)
    p = Parameterisation("x0", schedule)
    plan = Ddim(1, "trailing", "none", "ddim", eta).over(range(schedule.T, 0, -1), schedule, "fixed_small")
    start = (float(schedule.a[-1] * x0 + schedule.g[-1] * eps), 0.0)
    mean, variance = moments(plan, p, oracle.network(p), start)
    assert variance <= schedule.g[1] ** 2 * (1 + 1e-9)
    if eta == 0:
        assert mean == pytest.approx(schedule.a[1] * x0 + schedule.g[1] * eps, rel=1e-7, abs=1e-7)


@quick
@given(processes(), oracles)
def test_ddim_of_eta_1_keeps_total_noise(schedule, oracle):
    """Under a network that knows x_0, what is left at level 1 is exactly the noise of level 1."""
    p = Parameterisation("x0", schedule)
    plan = Ddim(1, "trailing", "none", "ddim", 1.0).over(range(schedule.T, 0, -1), schedule, "fixed_small")
    known = GaussianOracle(oracle.mean, 1e-18)
    start = (float(schedule.a[-1] * oracle.mean), float(schedule.g[-1] ** 2))
    mean, variance = moments(plan, p, known.network(p), start)
    assert mean == pytest.approx(schedule.a[1] * oracle.mean, rel=1e-7, abs=1e-9)
    assert variance == pytest.approx(schedule.g[1] ** 2, rel=1e-7)


@quick
@given(processes())
def test_a_schedule_survives_json_to_the_bit(schedule):
    again = Schedule.from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert again.to_dict() == schedule.to_dict()
