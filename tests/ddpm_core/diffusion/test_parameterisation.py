"""What the network predicts: one affine table, its inverse, and the score."""

import math
from typing import get_args

import numpy as np
import pytest

from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation, Target, eps_of, score_fn, score_of
from ddpm_core.errors import ParamsError

SCHEDULES = ("linear", "cosine", "geometric_ve", "edm", "rectified_flow", "cosine_zero_snr")


def make(target, schedule):
    try:
        return Parameterisation(target, schedule)
    except ParamsError:
        return None


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("target", get_args(Target))
def test_table_inverts_target(schedule_of, name, target):
    p = make(target, schedule_of(name))
    if p is None:
        return
    rng = np.random.default_rng(0)
    t = np.array([1, 2, 17, 500, 999, 1000])
    x0, eps = rng.standard_normal((2, 6, 3, 2))
    a, g = p.schedule.a[t][:, None, None], p.schedule.g[t][:, None, None]
    x_t = a * x0 + g * eps
    out = p.target_of(x0, x_t, eps, t)
    size = np.abs(p.table()[1][t]).max() * np.abs(out).max() + 1
    assert p.x0_of(out, x_t, t) == pytest.approx(x0, abs=1e-13 * size)


def test_some_target_fits_every_schedule(schedule_of):
    fitting = {name: [t for t in get_args(Target) if make(t, schedule_of(name))] for name in SCHEDULES}
    assert fitting["linear"] == ["eps", "x0", "v", "mu", "score", "flow"]
    assert fitting["edm"] == ["eps", "x0", "score", "flow", "edm"]
    assert fitting["rectified_flow"] == ["x0", "flow"]
    assert fitting["cosine_zero_snr"] == ["x0", "v", "mu", "flow"]


@pytest.mark.parametrize(
    ("name", "target", "b"), [("cosine", "eps", 20291), ("linear", "eps", 157.4), ("cosine", "v", 1)]
)
def test_how_much_an_error_is_blown_up(schedule_of, name, target, b):
    assert np.abs(Parameterisation(target, schedule_of(name)).table()[1]).max() == pytest.approx(b, rel=1e-3)


def test_v_is_the_papers(schedule_of):
    """v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0."""
    schedule = schedule_of("linear")
    p, ab = Parameterisation("v", schedule), schedule.alpha_bar[300]
    assert p.target_of(2.0, 0.0, 3.0, 300) == pytest.approx(math.sqrt(ab) * 3 - math.sqrt(1 - ab) * 2)


def test_mu_is_the_posterior_mean(schedule_of):
    """At t = 1 it is x_0 itself."""
    schedule = schedule_of("linear")
    p = Parameterisation("mu", schedule)
    of_x_t, of_x_0 = schedule.posterior_mean_between(299, 300)
    assert p.target_of(2.0, 3.0, None, 300) == pytest.approx(of_x_t * 3 + of_x_0 * 2)
    assert p.target_of(2.0, 3.0, None, 1) == pytest.approx(2.0)


def test_flow_is_the_velocity_of_the_straight_line(schedule_of):
    assert Parameterisation("flow", schedule_of("rectified_flow")).target_of(2.0, 0.0, 3.0, 5) == 1


def test_edm_preconditioning_is_table_1(schedule_of):
    schedule = schedule_of("edm")
    A, B, c_in = Parameterisation("edm", schedule).table()
    sigma, spread = schedule.sigma[700], 0.5
    assert A[700] == pytest.approx(spread**2 / (sigma**2 + spread**2))
    assert B[700] == pytest.approx(sigma * spread / math.sqrt(sigma**2 + spread**2))
    assert c_in[700] == pytest.approx(1 / math.sqrt(sigma**2 + spread**2))


@pytest.mark.parametrize("name", ["linear", "rectified_flow"])
def test_input_is_scaled_under_ve_alone(schedule_of, name):
    assert (Parameterisation("x0", schedule_of(name)).table()[2] == 1).all()


@pytest.mark.parametrize("name", ["linear", "geometric_ve", "rectified_flow"])
def test_score_is_the_gradient_of_the_log_marginal(schedule_of, name):
    """-eps_hat / sqrt(1 - alpha_bar) of the exact denoiser, against -(x - mean) / variance."""
    schedule, oracle, x = schedule_of(name), GaussianOracle(0.3, 0.25), np.linspace(-2, 2, 5)
    for t in (1, 10, 500, 900):
        mean, variance = oracle.marginal(schedule, t)
        x0_hat = oracle.x0_hat(schedule, x, t)
        assert score_of(schedule, x0_hat, x, t) == pytest.approx(-(x - mean) / variance, rel=1e-7)
        assert eps_of(schedule, x0_hat, x, t) == pytest.approx(schedule.g[t] * (x - mean) / variance, rel=1e-7)


@pytest.mark.parametrize("target", ["eps", "x0", "v", "score", "flow"])
def test_continuous_levels_agree_with_the_table(schedule_of, target):
    schedule = schedule_of("cosine")
    p = Parameterisation(target, schedule)
    for column, at in zip(p.table(), p.at(schedule.a, schedule.g), strict=True):
        assert (column == at).all()


@pytest.mark.parametrize(
    ("target", "name", "message"),
    [
        ("eps", "cosine_zero_snr", "nothing can be recovered from x_T"),
        ("score", "rectified_flow", "nothing can be recovered from x_T"),
        ("v", "edm", "v: belongs to VP schedules, got a ve one"),
        ("mu", "rectified_flow", "mu: belongs to VP schedules"),
        ("edm", "linear", "edm: belongs to VE schedules"),
        ("noise", "linear", "target: must be one of eps, x0, v, mu, score, flow, edm, got 'noise'"),
    ],
)
def test_what_cannot_be_predicted_is_refused(schedule_of, target, name, message):
    with pytest.raises(ParamsError, match=message):
        Parameterisation(target, schedule_of(name))


def test_mu_between_levels_is_refused(schedule_of):
    with pytest.raises(ParamsError, match="between whole levels only"):
        Parameterisation("mu", schedule_of("linear")).at(0.5, 0.8)


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_a_score_function_is_the_gradient_at_each_datums_level(schedule_of, framework):
    """Of Gaussian data: (a m - x) / (a^2 s^2 + g^2); a network with variance channels is asked for its mean alone."""
    make = pytest.importorskip("torch").from_numpy if framework == "torch" else np.asarray
    oracle = GaussianOracle(0.3, 0.25)
    for name, target in (("cosine", "eps"), ("edm", "edm"), ("rectified_flow", "flow"), ("cosine_zero_snr", "v")):
        p = Parameterisation(target, schedule_of(name, 100))
        score = score_fn(p, oracle.network(p, v=0.5))
        x = make(np.random.default_rng(0).standard_normal((4, 2, 3)))
        levels = np.array([1, 30, 99, 100])
        mean, variance = (table[:, None, None] for table in oracle.marginal(p.schedule, levels))
        exact = (mean - np.asarray(x)) / variance
        assert np.asarray(score(x, levels)) == pytest.approx(exact, rel=1e-6, abs=1e-9)
        assert np.asarray(score(x, 30)) == pytest.approx(np.asarray(score(x, [30] * 4)), rel=1e-9, abs=1e-12)
