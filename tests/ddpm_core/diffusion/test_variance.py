"""Variances of a reverse step."""

import numpy as np
import pytest

from ddpm_core.diffusion.oracle import GaussianOracle
from ddpm_core.diffusion.schedules import noise_alone
from ddpm_core.diffusion.variance import OptimalVariance, likelihood_log_variance, step_variance
from ddpm_core.errors import ParamsError


def test_small_and_large_are_the_ends(schedule_of):
    s = schedule_of("linear")
    assert step_variance(s, "fixed_large", 499, 500) == pytest.approx(s.beta[500])
    assert step_variance(s, "fixed_small", 499, 500) == pytest.approx(s.beta_tilde[500])


def test_optimal_lies_between_them_for_unit_data(schedule_of):
    """Bao et al. 2022, theorem 2: for data of variance 1 at most, between beta_tilde and beta."""
    s = schedule_of("linear")
    for variance in (0.01, 0.25, 1.0):
        optimal = OptimalVariance(GaussianOracle(0.0, variance).x0_variance(s))
        t = np.arange(2, 1001)
        values = step_variance(s, optimal, t - 1, t)
        assert (values >= s.beta_tilde[2:] * (1 - 1e-12)).all()
        assert (values <= s.beta[2:] * (1 + 1e-12)).all()
    assert values == pytest.approx(s.beta[2:], rel=1e-9)


def test_first_step_of_the_bound_takes_the_second_variance(schedule_of):
    s = schedule_of("linear")
    for name in ("fixed_small", "fixed_large"):
        assert np.exp(likelihood_log_variance(s, name)[1]) == pytest.approx(5.4531876613e-05)
    assert np.exp(likelihood_log_variance(s, "fixed_large")[7]) == pytest.approx(s.beta[7])


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_first_step_of_the_bound_takes_beta_1_outside_vp(schedule_of, variance):
    for name in ("geometric_ve", "edm", "rectified_flow"):
        s = schedule_of(name)
        assert np.exp(likelihood_log_variance(s, variance)[1]) == pytest.approx(s.g[1] ** 2, rel=1e-12)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_one_level_alone_has_beta_1_as_there_is_no_second(variance):
    assert likelihood_log_variance(noise_alone(), variance) == pytest.approx([0, 0])


def test_errors_say_what_must_hold(schedule_of):
    with pytest.raises(ParamsError, match=r"levels 0\.\.1000, got 3"):
        step_variance(schedule_of("linear"), OptimalVariance(np.zeros(3)), 1, 2)
    with pytest.raises(ParamsError, match="only under one of fixed_small, fixed_large, got 'learned'"):
        step_variance(schedule_of("linear"), "learned", 1, 2)
