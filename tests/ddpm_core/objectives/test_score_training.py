"""NCSN by the same objective: a VE schedule and the score as target, nothing else changes."""

import pytest
import torch
from torch import nn

from ddpm_core.diffusion.bounds import unclamped
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Snr
from ddpm_core.objectives.batch import Batch
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.samplers.config import named
from ddpm_core.tensors.denoiser import bind
from ddpm_core.tensors.process import Process


class ScoreNet(nn.Module):
    """A score is of the size of 1 / sigma: the network answers on that scale, as NCSN's does."""

    def __init__(self, sigma: torch.Tensor) -> None:
        super().__init__()
        self.sigma = sigma
        self.body = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        place = t[:, None] / len(self.sigma)
        features = torch.cat([x, place, torch.cos(6 * place), torch.sin(6 * place)], 1)
        return self.body(features) / self.sigma[t.long()][:, None]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["langevin", "dpmpp_2m"])
def test_two_peaks_are_learned_and_sampled(schedule_of, trained, kind):
    schedule, net = trained
    p = Parameterisation("score", schedule)
    seeds = range(60)
    plan = named(kind, 50, None).plan(schedule, "fixed_small")
    x = generate(
        plan,
        p,
        bind(net, {}),
        torch.from_numpy(initial(seeds, (1,)) * plan.start_scale),
        lambda step: torch.from_numpy(step_noise(seeds, step, (1,))),
        bound=unclamped,
    )
    assert float((x.abs() - 0.5).abs().median()) < 0.15
    assert 0.3 < float((x > 0).float().mean()) < 0.7


@pytest.fixture(scope="module")
def trained(schedule_of):
    torch.manual_seed(0)
    schedule = schedule_of("geometric_ve", 50)
    p = Parameterisation("score", schedule)
    net = ScoreNet(torch.tensor(schedule.sigma, dtype=torch.float32))
    objective = DiffusionObjective(Process(p), Snr("snr").table(p), Uniform("uniform", True).build(schedule))
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    for step in range(200):
        x0 = 0.5 * torch.sign(torch.arange(256) % 2 - 0.5)[:, None] + 0.02 * torch.sin(torch.arange(256.0))[:, None]
        optimiser.zero_grad()
        objective.loss(net, objective.draw(Batch(x0, {}), seed=0, step=step)).total.backward()
        optimiser.step()
    return schedule, net
