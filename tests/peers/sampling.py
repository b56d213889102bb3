"""One sampling run, by a plan of ours and by a scheduler of diffusers, from the same x_T, noise and network.

Everything runs in float64, the peer's tables too (`in_float64`): what is compared is the method, and the rounding of
float32 tables has a test of its own. Our levels are 1..T with 0 the clean data, the peer's 0..T-1, so that its timestep
i is our level i + 1.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.schedules import Cosine, Linear

Network = Callable[[Tensor, float], Tensor]
"""(x, what the network is told) -> its answer."""

SHAPE = (2, 3, 4, 5)
AGREEMENT = 1e-5
EXACT = 1e-10
"""Where the peer computes in the float64 that it is given (DPM-Solver, Euler and others cast to float32 inside)."""
PREDICTION: dict[str, Target] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
SCHEDULES: dict[str, Schedule] = {
    "linear": Linear("linear", 1000, 1e-4, 0.02, False, False).build(),
    "squaredcos_cap_v2": Cosine("cosine", 1000, 0.008, 0.999, False).build(),
}


def unit_noise(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(target: Target, schedule: Schedule) -> Network:
    """A smooth stand-in for a trained network: the true answer for data N(0.3, 0.25), and a wave on top."""

    def answer(x: Tensor, level: float) -> Tensor:
        a, g = float(schedule.a[int(level)]), float(schedule.g[int(level)])
        x0 = 0.3 + 0.25 * a / (0.25 * a**2 + g**2) * (x - 0.3 * a) + 0.2 * torch.sin(3 * x + 0.01 * level)
        eps = (x - a * x0) / g
        return {"eps": eps, "x0": x0, "v": a * eps - g * x0}[target]

    return answer


def ours(plan: SamplingPlan, schedule: Schedule, target: Target, net: Network, x_T: Tensor, seed: int = 0) -> Tensor:
    """Noise is drawn in the order in which the rows ask for it, as the peer does from a generator of the same seed."""
    draws = torch.Generator().manual_seed(seed)
    return generate(
        plan,
        Parameterisation(target, schedule),
        lambda x, time: net(x, float(time[0])),
        x_T,
        lambda step: torch.randn(SHAPE, generator=draws, dtype=torch.float64),
        bound=operator(plan.bound, (-1.0, 1.0)),
    )


def in_float64(scheduler: Any, schedule: Schedule, steps: int | None = None, timesteps: list[int] | None = None) -> Any:
    """The scheduler, told its timesteps, with its tables (which `test_schedules` holds to ours) in float64."""
    scheduler.alphas_cumprod = torch.from_numpy(schedule.alpha_bar[1:].copy())
    scheduler.set_timesteps(**({"num_inference_steps": steps} if timesteps is None else {"timesteps": timesteps}))
    if hasattr(scheduler, "sigmas"):
        exact = torch.from_numpy(schedule.sigma.copy())
        nearest = (scheduler.sigmas.double()[:, None] - exact).abs().argmin(dim=1)
        scheduler.sigmas = exact[nearest]
    return scheduler


def levels_of(scheduler: Any) -> list[int]:
    """Our names for the levels that a scheduler visits; Heun's names each but the first twice."""
    return [*dict.fromkeys(int(t) + 1 for t in scheduler.timesteps), 0]


def theirs(scheduler: Any, net: Network, x: Tensor, first_level: int = 1, **step: Any) -> Tensor:
    """Run a scheduler that has been told its timesteps; `x` is x_T on its own scale.

    `first_level` is our name for its timestep 0; 0 where it is told times and no levels.
    """
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(net(scaled, float(t) + first_level), t, x, **step).prev_sample
    return x


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())


def seeded() -> torch.Generator:
    """What the peer draws its noise from, so that `ours` draws the same."""
    return torch.Generator().manual_seed(0)


def assert_same_pictures(
    plan: SamplingPlan,
    scheduler: Any,
    schedule: Schedule,
    target: Target,
    *,
    net: Network | None = None,
    their_scale: float = 1.0,
    within: float = AGREEMENT,
    **run: Any,
) -> None:
    """Both sides from one x_T, which is `their_scale` times ours to the peer; `run` goes to `theirs`."""
    net = network(target, schedule) if net is None else net
    x_T = unit_noise(1) * plan.start_scale
    assert_agree(ours(plan, schedule, target, net, x_T), theirs(scheduler, net, x_T * their_scale, **run), within)


def assert_agree(a: Tensor, b: Tensor, within: float = AGREEMENT) -> None:
    found = difference(a, b)
    assert found <= within, f"relative difference {found:.2g}, allowed {within:g}"
