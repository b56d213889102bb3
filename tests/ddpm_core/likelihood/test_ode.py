"""log p by the probability-flow ODE, against densities that are known."""

import math

import pytest
import torch

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.ode import ode_log_likelihood

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
    assert (run(probes[:1]).standard_error == 0).all()


def test_levels_without_signal_are_refused(schedule_of):
    p = Parameterisation("v", schedule_of("cosine_zero_snr"))
    for levels in ([1000, 500, 0], [5, 0]):
        with pytest.raises(ParamsError, match="two or more above 0, all with signal"):
            ode_log_likelihood(p, network(p), POINTS, levels, data_std=0.5, probes=None)
