"""Our tables against those that other implementations train and sample with, and the levels that they visit."""

from typing import Any

import numpy as np
import pytest

from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import Cosine, Edm, GeometricVE, Linear, Quadratic
from ddpm_core.diffusion.spacing import Spacing, spaced_levels
from tests.peers.peer import peer

diffusers = peer("diffusers")

FLOAT32 = 1e-6  # a cumulative product of 1,000 float32 numbers
SCHEDULES: dict[str, tuple[dict[str, Any], Schedule]] = {
    "linear": ({"beta_schedule": "linear"}, Linear("linear", 1000, 1e-4, 0.02, False, False).build()),
    "linear, 250 levels": (
        {"beta_schedule": "linear", "num_train_timesteps": 250, "beta_start": 4e-4, "beta_end": 0.08},
        Linear("linear", 250, 1e-4, 0.02, True, False).build(),
    ),
    "quadratic": ({"beta_schedule": "scaled_linear"}, Quadratic("quadratic", 1000, 1e-4, 0.02, False, False).build()),
    "cosine": ({"beta_schedule": "squaredcos_cap_v2"}, Cosine("cosine", 1000, 0.008, 0.999, False).build()),
    "cosine, 4,000 levels": (
        {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 4000},
        Cosine("cosine", 4000, 0.008, 0.999, False).build(),
    ),
    "linear to zero signal": (
        {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
        Linear("linear", 1000, 1e-4, 0.02, False, True).build(),
    ),
}


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_betas_and_their_products(name: str) -> None:
    options, schedule = SCHEDULES[name]
    scheduler = diffusers.DDPMScheduler(**options)
    np.testing.assert_allclose(scheduler.betas.double().numpy(), schedule.beta[1:], rtol=2e-5, atol=5e-7)
    # Absolute where almost no signal is left: the product of a cosine's last betas falls to 1e-9.
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), schedule.alpha_bar[1:], rtol=2 * FLOAT32, atol=1e-9)


def test_sigmas_of_edm() -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    scheduler.set_timesteps(18)
    schedule = Edm("edm", 18, 0.002, 80.0, 7.0, 0.5).build()
    np.testing.assert_allclose(scheduler.sigmas.numpy(), schedule.g[::-1], rtol=FLOAT32)
    np.testing.assert_allclose(scheduler.timesteps.numpy(), schedule.time[:0:-1], rtol=FLOAT32)


def test_geometric_sigmas() -> None:
    scheduler = diffusers.ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=50.0)
    scheduler.set_sigmas(1000)
    schedule = GeometricVE("geometric_ve", 1000, 0.01, 50.0, 0.5).build()
    np.testing.assert_allclose(scheduler.discrete_sigmas.numpy(), schedule.g[1:], rtol=5 * FLOAT32)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [2, 10, 50, 100, 1000])
def test_levels_that_are_visited(spacing: Spacing, steps: int) -> None:
    scheduler = diffusers.DDIMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    schedule = SCHEDULES["linear"][1]
    assert spaced_levels(spacing, schedule, steps) == [*(int(t) + 1 for t in scheduler.timesteps), 0]
