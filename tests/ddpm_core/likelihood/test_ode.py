"""log p by the probability-flow ODE, against densities that are known."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.diffusion.variance import OptimalVariance
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.bound import first_step
from ddpm_core.likelihood.ode import ode_levels, ode_log_likelihood

MEANS = torch.tensor([[-0.6, -0.2], [0.5, 0.4], [0.3, -0.7]], dtype=torch.float64)
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
VARIANCE = 0.15**2


def log_density(schedule, x, t):
    """Of the mixture at level t, exactly."""
    a, g = float(schedule.a[t]), float(schedule.g[t])
    v = a**2 * VARIANCE + g**2
    square = ((x[:, None] - a * MEANS) ** 2).sum(-1)
    return torch.logsumexp(torch.log(SHARES) - square / (2 * v) - math.log(2 * math.pi * v), 1)


def network(parameterisation):
    """x0_hat from Tweedie's formula: (x + g^2 score) / a, by autograd."""
    schedule = parameterisation.schedule
    A, B, c_in = parameterisation.table()
    level_of = {float(time): t for t, time in enumerate(schedule.time.tolist()) if t > 0}

    def denoise(x_in, time):
        t = level_of[float(time[0].float())]
        x = x_in / float(c_in[t])
        a, g = float(schedule.a[t]), float(schedule.g[t])
        score = torch.autograd.grad(log_density(schedule, x, t).sum(), x, create_graph=True)[0]
        return ((x + g**2 * score) / a - float(A[t]) * x) / float(B[t])

    return denoise


POINTS = torch.tensor([[-0.6, -0.2], [0.45, 0.5], [0.3, -0.6], [-0.3, 0.1]], dtype=torch.float64)


@pytest.mark.parametrize(("name", "target"), [("vp_continuous", "v"), ("cosine", "eps"), ("edm", "edm")])
def test_mixture_within_a_fiftieth_of_a_nat_in_120_evaluations(schedule_of, name, target):
    schedule = schedule_of(name)
    p = Parameterisation(target, schedule)
    levels = spaced_levels("log_snr", schedule, 61)
    result = ode_log_likelihood(p, network(p), POINTS, levels, data_std=0.5, probes=None)
    assert result.evaluations <= 120
    # x_0 is taken for the sample at level 1, so that level's density is what comes out.
    assert result.log_p.numpy() == pytest.approx(log_density(schedule, POINTS, 1).detach().numpy(), abs=0.02)
    assert (result.standard_error == 0).all()


def test_hutchinson_agrees_within_its_own_standard_error(schedule_of):
    schedule = schedule_of("vp_continuous")
    p = Parameterisation("v", schedule)
    levels = spaced_levels("log_snr", schedule, 40)
    exact = ode_log_likelihood(p, network(p), POINTS, levels, data_std=0.5, probes=None)
    probes = torch.randint(0, 2, (16, *POINTS.shape), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    guess = ode_log_likelihood(p, network(p), POINTS, levels, data_std=0.5, probes=probes)
    assert ((guess.log_p - exact.log_p).abs() <= 4 * guess.standard_error + 1e-9).all()


def test_probes_give_the_mean_of_what_each_gives_and_its_standard_error(schedule_of):
    schedule = schedule_of("vp_continuous")
    p = Parameterisation("v", schedule)
    levels = spaced_levels("log_snr", schedule, 5)
    probes = torch.randint(0, 2, (4, *POINTS.shape), generator=torch.Generator().manual_seed(1)).double() * 2 - 1

    def run(those):
        return ode_log_likelihood(p, network(p), POINTS, levels, data_std=0.5, probes=those)

    each = torch.stack([run(probes[i : i + 1]).log_p for i in range(4)])
    assert run(probes).log_p.numpy() == pytest.approx(each.mean(0).numpy(), rel=1e-12)
    assert run(probes).standard_error.numpy() == pytest.approx(each.std(0).numpy() / 2, rel=1e-12)


def test_one_probe_has_no_standard_error(schedule_of):
    """Not 0, which is that of an exact divergence."""
    schedule = schedule_of("vp_continuous")
    p = Parameterisation("v", schedule)
    one = torch.ones(1, *POINTS.shape, dtype=torch.float64)
    found = ode_log_likelihood(p, network(p), POINTS, ode_levels(schedule, 3), data_std=0.5, probes=one)
    assert torch.isfinite(found.log_p).all()
    assert torch.isnan(found.standard_error).all()


# -------------------------------------------------------------------------------------------- levels without signal


@pytest.mark.parametrize("T", [20, 50, 1000])
@pytest.mark.parametrize(("name", "target"), [("cosine_zero_snr", "v"), ("rectified_flow", "flow")])
def test_without_signal_at_the_end_the_ode_starts_at_the_last_level_that_has_some(schedule_of, name, target, T):
    """x_T is then noise alone, and x_L = g_L x_T but for the mean of the data: its density is N(0, g_L^2)."""
    schedule = schedule_of(name, T)
    p = Parameterisation(target, schedule)
    oracle = GaussianOracle(0.1, 0.25)
    x = 0.1 + 0.5 * torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    levels = ode_levels(schedule, min(60, T - 2))
    assert levels[0] == T - 1
    assert levels[-2:] == [1, 0]
    mean, variance = oracle.marginal(schedule, 1)
    exact = -0.5 * ((x - mean) ** 2 / variance + math.log(2 * math.pi * variance))[:, 0]
    for those in (levels, [T, *levels]):
        found = ode_log_likelihood(p, oracle.network(p), x, those, data_std=0.5, probes=None)
        assert found.log_p.numpy() == pytest.approx(exact.numpy(), abs=0.02)


def test_levels_of_the_ode_are_even_in_lambda_and_as_many_as_steps(schedule_of):
    schedule = schedule_of("vp_continuous")
    assert ode_levels(schedule, 60) == spaced_levels("log_snr", schedule, 61)
    assert len(ode_levels(schedule_of("cosine_zero_snr", 20), 500)) == 20
    with pytest.raises(ParamsError, match="steps of the ODE: must be at least 1, got 0"):
        ode_levels(schedule, 0)


def test_levels_without_a_step_are_refused(schedule_of):
    p = Parameterisation("v", schedule_of("cosine_zero_snr"))
    for levels in ([1000, 500, 0], [5, 0]):
        with pytest.raises(ParamsError, match="two or more above 0 with signal"):
            ode_log_likelihood(p, network(p), POINTS, levels, data_std=0.5, probes=None)


# -------------------------------------------------------------------------------------------------- the first step

MEAN, DEVIATION = 0.3, 0.5
ORACLE = GaussianOracle(MEAN, DEVIATION**2)


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + math.log(2 * math.pi * variance)).sum(1)


@pytest.mark.parametrize(("name", "target"), [("linear", "v"), ("edm", "edm"), ("rectified_flow", "flow")])
def test_the_first_step_of_an_exact_network_closes_the_gap_at_every_draw(schedule_of, name, target):
    """ln p(x_1) + ln p(x_0 | x_1) - ln q(x_1 | x_0) = ln p(x_0), where p(x_0 | x_1) is the posterior."""
    schedule = schedule_of(name)
    p = Parameterisation(target, schedule)
    optimal = OptimalVariance(ORACLE.x0_variance(schedule))
    draw = torch.Generator().manual_seed(0)
    x0 = MEAN + DEVIATION * torch.randn(6, 3, generator=draw, dtype=torch.float64)
    eps = torch.randn(6, 3, generator=draw, dtype=torch.float64)
    x_1, gap = first_step(p, optimal, ORACLE.network(p), x0, eps, data_range=None, data_levels=None)
    assert x_1.numpy() == pytest.approx((schedule.a[1] * x0 + schedule.g[1] * eps).numpy())
    exact = log_normal(x0, MEAN, DEVIATION**2).numpy()
    assert (log_normal(x_1, *ORACLE.marginal(schedule, 1)) + gap).numpy() == pytest.approx(exact, abs=1e-8)
    by_ode = ode_log_likelihood(p, ORACLE.network(p), x_1, ode_levels(schedule, 60), data_std=0.5, probes=None)
    assert (by_ode.log_p + gap).numpy() == pytest.approx(exact, abs=0.06)


def test_the_first_step_to_a_level_gives_its_probability(schedule_of):
    """The mean over eps of p(x_1) P(x_0 | x_1) / q(x_1 | x_0) is P(x_0): the mass of the level's bin, by quadrature."""
    schedule = schedule_of("linear")
    p = Parameterisation("v", schedule)
    optimal = OptimalVariance(ORACLE.x0_variance(schedule))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    eps = torch.from_numpy(nodes)[:, None]
    for level in (1, 100, 200):
        x0 = torch.full_like(eps, -1 + 2 * level / 255)
        x_1, gap = first_step(p, optimal, ORACLE.network(p), x0, eps, data_range=(-1.0, 1.0), data_levels=256)
        each = torch.exp(log_normal(x_1, *ORACLE.marginal(schedule, 1)) + gap)
        found = float((torch.from_numpy(weights / weights.sum()) * each).sum())
        low, high = (NormalDist(MEAN, DEVIATION).cdf(float(x0[0, 0]) + half) for half in (-1 / 255, 1 / 255))
        assert found == pytest.approx(high - low, rel=1e-6)
