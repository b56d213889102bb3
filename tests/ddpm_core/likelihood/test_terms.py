"""Terms of the bound against quadrature and sums that must be 1."""

import math

import pytest
import torch

from ddpm_core.likelihood.terms import kl_normal, negative_log_bin, negative_log_logistic, negative_log_normal
from tests.support.close import assert_close

ENDS = (-1.0, 1.0)


def of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_kl_of_a_normal_to_itself_is_zero() -> None:
    # With +1/2 in place of -1/2 this is 1 nat a dimension, which no gradient shows.
    log_var = of(-9.0, 0.0, 3.0)
    assert_close(kl_normal(log_var, log_var, torch.zeros(3)), torch.zeros(3).double(), rtol=0, atol=1e-12)


def test_kl_is_its_integral() -> None:
    x = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    m1, v1, m2, v2 = 0.3, 0.5, -0.4, 1.7
    log_p = -negative_log_normal(x, of(m1), of(v1).log())
    log_q = -negative_log_normal(x, of(m2), of(v2).log())
    integral = torch.trapezoid(log_p.exp() * (log_p - log_q), x)
    kl = kl_normal(of(v1).log(), of(v2).log(), of((m1 - m2) ** 2))[0]
    assert float(kl) == pytest.approx(float(integral), rel=1e-8)


def test_density_of_a_normal_takes_a_log_variance_and_not_a_deviation() -> None:
    log_var = of(math.log(4.0))
    expected = 0.5 * math.log(2 * math.pi * 4) + 0.5 * (1.5**2) / 4
    assert float(negative_log_normal(of(2.0), of(0.5), log_var)) == pytest.approx(expected)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.3), (0.9, 0.05), (-1.4, 1.0), (0.1, 0.004)])
def test_masses_of_all_levels_add_up_to_one(levels: int, mean: float, scale: float) -> None:
    x = torch.linspace(-1, 1, levels, dtype=torch.float64)
    nats = negative_log_bin(x, of(mean), 2 * of(scale).log(), ENDS, levels)
    assert bool((nats >= 0).all())  # minus a logarithm of a probability
    assert float(torch.exp(-nats).sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.3), (0.9, 0.05), (-1.4, 1.0)])
def test_masses_of_a_logistic_are_differences_of_its_distribution(mean: float, scale: float) -> None:
    x = torch.linspace(-1, 1, 17, dtype=torch.float64)
    nats = negative_log_bin(x, of(mean), 2 * of(scale).log(), ENDS, 17, torch.nn.functional.logsigmoid)
    assert float(torch.exp(-nats).sum()) == pytest.approx(1, abs=1e-9)
    inner = torch.sigmoid((x + 1 / 16 - mean) / scale) - torch.sigmoid((x - 1 / 16 - mean) / scale)
    assert_close(torch.exp(-nats)[1:-1], inner[1:-1], rtol=1e-7, atol=0)


def test_density_of_a_logistic_is_the_slope_of_its_distribution() -> None:
    x = torch.tensor([-3.0, 0.2, 0.3, 5.0], dtype=torch.float64, requires_grad=True)
    torch.sigmoid((x - 0.3) / 0.5).sum().backward()
    nats = negative_log_logistic(x.detach(), of(0.3), 2 * of(0.5).log())
    assert_close(torch.exp(-nats), x.grad, rtol=1e-9, atol=0)


def test_end_bins_are_open() -> None:
    nats = negative_log_bin(of(-1.0, 1.0), of(-5.0, 5.0), of(0.0, 0.0), ENDS, 256)
    assert float(nats.max()) < 1e-3


def test_far_from_the_mean_the_gradient_still_points_home() -> None:
    mean = torch.tensor([0.5], requires_grad=True)
    negative_log_bin(torch.tensor([-0.5]), mean, torch.tensor([-4.6]), ENDS, 256).sum().backward()
    assert mean.grad is not None
    assert float(mean.grad) > 0
