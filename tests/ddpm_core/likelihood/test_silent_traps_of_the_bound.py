"""What would make a bound wrong without a word is refused where it is given."""

import math

import pytest
import torch

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.bound import Bound, bound, estimate_x0_variance
from ddpm_core.tensors.denoiser import bind

SHAPE = (4, 3, 4, 4)  # as many images as columns


@pytest.fixture
def v(schedule_of):
    return Parameterisation("v", schedule_of("linear", 50))


def bound_of(p, x0, noise=None, variance="fixed_small", denoise=None, levels=(1, 7)):
    return bound(
        p,
        variance,
        denoise or (lambda x, time: x),
        x0,
        noise or (lambda t: torch.zeros_like(x0)),
        data_range=(-1.0, 1.0),
        data_levels=256,
        levels=levels,
    )


def test_the_bound_takes_encoded_data_alone(v):
    assert torch.isfinite(bound_of(v, torch.ones(SHAPE)).terms).all()
    for x0 in (
        torch.full(SHAPE, 255.0),
        torch.full(SHAPE, math.nan),
        torch.zeros(SHAPE).long(),
        torch.zeros(0, 3, 4, 4),
    ):
        with pytest.raises(ParamsError, match="x0"):
            bound_of(v, x0)


def test_the_bound_refuses_what_would_be_spread(v):
    x0 = torch.zeros(SHAPE)
    with pytest.raises(ParamsError, match="noise"):
        bound_of(v, x0, noise=lambda t: torch.zeros(1, 3, 4, 4))
    with pytest.raises(ParamsError, match="denoise"):
        bound_of(v, x0, denoise=lambda x, time: x[:, :1])
    with pytest.raises(ParamsError, match="variance"):
        bound_of(v, x0[:, :1], variance="learned")


def test_bits_count_each_level_as_often_as_it_stands_for_others():
    prior, terms = torch.tensor([0.25]), torch.tensor([[0.5], [1.0]])
    whole = Bound(prior, terms, (1, 3), 4, (1, 3))
    assert whole.bits_per_dim().item() == pytest.approx((0.25 + 0.5 + 3 * 1.0) / math.log(2))
    assert Bound(prior, terms, (1, 2), 2).bits_per_dim().item() == pytest.approx((0.25 + 0.5 + 1.0) / math.log(2))
    for levels in ((1, 3), (2, 3), (1, 1)):
        with pytest.raises(ParamsError, match="bits"):
            Bound(prior, terms, levels, 4).bits_per_dim()


@pytest.mark.parametrize("levels", [[0, 5], [5, 51], [-1]])
def test_optimal_variances_are_of_levels_that_are_there(v, levels):
    x0 = torch.zeros(SHAPE)
    with pytest.raises(ParamsError, match="levels"):
        estimate_x0_variance(v, bind(torch.nn.Identity(), {}), x0, lambda t: x0, levels)
