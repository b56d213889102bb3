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
    assert torch.isfinite(bound_of(v, torch.ones(SHAPE)).bits_per_dim()).all()
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


def test_bits_need_the_first_level_and_a_later_one_and_count_the_first_once():
    terms = torch.tensor([[0.5], [1.0]])
    whole = Bound(torch.tensor([0.25]), terms, (1, 3), 4)
    assert whole.bits_per_dim().item() == pytest.approx((0.25 + 0.5 + 3 * 1.0) / math.log(2))
    twice = Bound(torch.tensor([0.25]), torch.cat([terms[:1], terms]), (1, 1, 3), 4)
    assert twice.bits_per_dim().item() == pytest.approx(whole.bits_per_dim().item())
    for levels in ((2, 3), (1, 1)):
        with pytest.raises(ParamsError, match="bits"):
            Bound(torch.tensor([0.25]), terms, levels, 4).bits_per_dim()


@pytest.mark.parametrize("levels", [[0, 5], [5, 51], [-1]])
def test_optimal_variances_are_of_levels_that_are_there(v, levels):
    x0 = torch.zeros(SHAPE)
    with pytest.raises(ParamsError, match="levels"):
        estimate_x0_variance(v, bind(torch.nn.Identity(), {}), x0, lambda t: x0, levels)
