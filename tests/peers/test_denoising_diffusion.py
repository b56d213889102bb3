"""Our mathematics against denoising-diffusion-pytorch: tables, predictions, loss weights, and whole sampling runs.

It computes in float32, so do we here; its timestep i is our level i + 1.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.bounds import clip_to
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import Cosine, Linear, Sigmoid
from ddpm_core.diffusion.weighting import MinSnr, Snr
from ddpm_core.samplers.ancestral import Ancestral
from ddpm_core.samplers.ddim import Ddim
from tests.peers.peer import peer
from tests.peers.sampling import assert_agree, difference

ddp = peer("denoising_diffusion_pytorch")

T = 100
SHAPE = (2, 1, 8, 8)


def sigmoid(alpha_bar_min: float) -> Schedule:
    return Sigmoid("sigmoid", T, -3.0, 3.0, 1.0, alpha_bar_min, False).build()


SCHEDULES: dict[str, Schedule] = {
    "linear": Linear("linear", T, 1e-4, 0.02, True, False).build(),
    "cosine": Cosine("cosine", T, 0.008, 0.999, False).build(),
    # It falls to 0. The peer caps the last beta at 0.999, ours the last alpha_bar: at the same value here.
    "sigmoid": sigmoid(0.001 * float(sigmoid(1e-9).alpha_bar[-2])),
}
OBJECTIVES: dict[str, Target] = {"pred_noise": "eps", "pred_x0": "x0", "pred_v": "v"}

schedules = pytest.mark.parametrize("name", list(SCHEDULES))
objectives = pytest.mark.parametrize("objective", list(OBJECTIVES))


class Wave(nn.Module):
    """A smooth network of no meaning, with the attributes that the peer asks of one."""

    channels = out_dim = 1
    self_condition = False

    def forward(self, x: Tensor, t: Tensor, _condition: Any = None) -> Tensor:
        return torch.sin(2 * x + 0.05 * t.float()[:, None, None, None])


def theirs(name: str, objective: str, **options: Any) -> Any:
    return ddp.GaussianDiffusion(
        Wave(), image_size=8, timesteps=T, objective=objective, beta_schedule=name, auto_normalize=False, **options
    )


def ours(plan: SamplingPlan, schedule: Schedule, target: Target) -> Tensor:
    """x_T and all noise from torch's global generator, in the order in which the peer draws them."""
    wave = Wave()
    torch.manual_seed(0)
    return generate(
        plan,
        Parameterisation(target, schedule),
        lambda x, time: wave(x, time - 1),
        torch.randn(SHAPE),
        lambda step: torch.randn(SHAPE),
        bound=clip_to((-1.0, 1.0)),
    )


@schedules
def test_tables(name: str) -> None:
    schedule, peer_tables = SCHEDULES[name], theirs(name, "pred_v")
    t, s = np.arange(1, T + 1), np.arange(0, T)
    of_x_t, of_x_0 = schedule.posterior_mean_between(s, t)
    for found, expected in (
        (peer_tables.betas, schedule.beta[1:]),
        (peer_tables.alphas_cumprod, schedule.alpha_bar[1:]),
        (peer_tables.sqrt_one_minus_alphas_cumprod, schedule.g[1:]),
        (peer_tables.posterior_variance, schedule.beta_tilde[1:]),
        (peer_tables.posterior_mean_coef1, of_x_0),
        (peer_tables.posterior_mean_coef2, of_x_t),
    ):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-9)


def test_its_log_variance_has_a_floor_where_ours_repeats_the_next_level() -> None:
    # Ho et al.: ln beta_tilde_2 stands in for ln 0 at t = 1; ln 1e-20 makes any miss of x_1 cost 50 bits.
    schedule, peer_tables = SCHEDULES["linear"], theirs("linear", "pred_noise")
    log_variance = peer_tables.posterior_log_variance_clipped
    assert float(log_variance[0]) == pytest.approx(np.log(1e-20))
    assert float(log_variance[1]) == pytest.approx(float(np.log(schedule.beta_tilde[2])), rel=1e-5)
    assert schedule.log_variances_between(0, 1)[1] == pytest.approx(float(np.log(schedule.beta_tilde[2])))


@schedules
@objectives
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_loss_weights(name: str, objective: str, gamma: float | None) -> None:
    options = {} if gamma is None else {"min_snr_loss_weight": True, "min_snr_gamma": gamma}
    found = theirs(name, objective, **options).loss_weight.numpy()
    weighting = Snr("snr") if gamma is None else MinSnr("min_snr", gamma)
    expected = weighting.table(Parameterisation(OBJECTIVES[objective], SCHEDULES[name]))[1:]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@schedules
def test_predictions_turn_into_one_another(name: str) -> None:
    schedule, peer_tables = SCHEDULES[name], theirs(name, "pred_v")
    x0, eps = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    for level in (1, 30, 80):
        t = torch.full((SHAPE[0],), level - 1)
        x_t = float(schedule.a[level]) * x0 + float(schedule.g[level]) * eps
        assert_agree(peer_tables.q_sample(x0, t, eps), x_t)
        v = torch.from_numpy(Parameterisation("v", schedule).target_of(x0.numpy(), x_t.numpy(), eps.numpy(), level))
        assert_agree(peer_tables.predict_v(x0, t, eps), v)
        assert_agree(peer_tables.predict_start_from_v(x_t, t, v), x0)
        assert_agree(peer_tables.predict_start_from_noise(x_t, t, eps), x0)


@schedules
@objectives
def test_ancestral_sampling(name: str, objective: str) -> None:
    schedule, target = SCHEDULES[name], OBJECTIVES[objective]
    plan = Ancestral(T, "leading", "clip", "ancestral").plan(schedule, "fixed_small")
    torch.manual_seed(0)
    expected = theirs(name, objective).p_sample_loop(SHAPE)
    assert_agree(ours(plan, schedule, target), expected, 1e-4)


@schedules
@objectives
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_ddim(name: str, objective: str, eta: float) -> None:
    schedule, target = SCHEDULES[name], OBJECTIVES[objective]
    # It visits whole numbers from linspace(-1, T - 1), cut off: ours is told the same levels.
    levels = [int(t) + 1 for t in torch.linspace(-1, T - 1, 11).int()][::-1]
    plan = Ddim(10, "leading", "clip", "ddim", eta).over(levels, schedule, "fixed_small")
    torch.manual_seed(0)
    expected = theirs(name, objective, sampling_timesteps=10, ddim_sampling_eta=eta).ddim_sample(SHAPE)
    found = ours(plan, schedule, target)
    assert difference(found, expected) <= 1e-4
