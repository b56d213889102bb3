"""The evidence lower bound against closed forms, and a linear autoencoder against probabilistic PCA."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.likelihood.nll import Data
from ddpm_core.models.vae_config import VAEConfig
from ddpm_core.objectives.batch import Batch
from ddpm_core.objectives.elbo import ElboObjective, negative_log_likelihood, terms
from ddpm_core.objectives.elbo_config import ElboConfig, Likelihood
from ddpm_core.spec import DataSpec, labelled

LEVELS = labelled((1, 2, 3), (-1.0, 1.0), 16, ())
PLAIN = DataSpec((5,), None, None, {})


class Fixed(nn.Module):
    """An encoder and a decoder whose answers are given: q(z | x) the same for all data, p(x | z) around W z."""

    def __init__(self, mu: Tensor, log_var: Tensor, W: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        self.mu, self.log_var, self.W, self.log_scale = mu, log_var, W, log_scale

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu.expand(len(x), -1), self.log_var.expand(len(x), -1)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self.W.T, self.log_scale


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_both_terms_are_the_sums_of_torch_distributions() -> None:
    net = Fixed(random(2), random(2, seed=1), random(5, 2, seed=2), torch.tensor(-0.7, dtype=torch.float64))
    x0, eps = random(4, 5, seed=3), random(4, 5, seed=4)
    distortion, rate = terms(net, x0, {}, eps, "normal", PLAIN)
    q = torch.distributions.Normal(net.mu, net.log_var.exp().sqrt())
    p = torch.distributions.Normal((q.mean + q.stddev * eps[:, :2]) @ net.W.T, math.exp(-0.7))
    torch.testing.assert_close(distortion, -p.log_prob(x0).sum(1))
    prior = torch.distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())
    torch.testing.assert_close(rate, torch.distributions.kl_divergence(q, prior).sum().expand(4))
    element = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0]).double().expand(4, 5)  # those that count, and their weights
    weighted, _ = terms(net, x0, {}, eps, "normal", PLAIN, element)
    torch.testing.assert_close(weighted, -(p.log_prob(x0) * element).sum(1))


def test_the_loss_is_their_mean_over_the_data_in_nats() -> None:
    net = Fixed(random(2), random(2, seed=1), random(5, 2, seed=2), torch.tensor(0.1, dtype=torch.float64))
    ours, batch = ElboObjective("normal", PLAIN), Batch(random(4, 5, seed=3), {})
    draw = ours.draw(batch, 0, 0)
    loss, (distortion, rate) = ours.loss(net, draw), terms(net, batch.x0, {}, draw.eps, "normal", PLAIN)
    torch.testing.assert_close(loss.items, distortion + rate)
    assert float(loss.total) == pytest.approx(float((distortion + rate).mean()))


@pytest.mark.parametrize("likelihood", ["normal", "logistic"])
def test_levels_have_probabilities_and_other_data_densities(likelihood: Likelihood) -> None:
    mean, log_scale = torch.tensor([[0.3]]).double(), torch.tensor(-1.5).double()
    level = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]
    mass = torch.exp(-negative_log_likelihood(level, mean.expand(16, 1), log_scale, likelihood, LEVELS))
    assert float(mass.sum()) == pytest.approx(1, abs=1e-9)
    x = torch.linspace(-60, 60, 200_001, dtype=torch.float64)[:, None]
    density = torch.exp(-negative_log_likelihood(x, mean.expand_as(x), log_scale, likelihood, PLAIN))
    assert float(torch.trapezoid(density[:, 0], x[:, 0])) == pytest.approx(1, abs=1e-6)


def test_the_bound_of_data_is_the_loss_in_bits_of_a_dimension() -> None:
    spec, config = labelled((1, 4, 4), (-1.0, 1.0), 16, ("a", "b")), ElboConfig("elbo", "logistic")
    torch.manual_seed(0)
    net = VAEConfig("vae", 3, 4, (1,), 1, 2, 0.0, "each").build(spec, False).eval()
    levels = np.random.default_rng(0).integers(0, 16, (70, 1, 4, 4)).astype(np.uint8)
    label, calls = np.arange(70) % 3, []
    data = Data.encoded(spec, levels, {"label": label}, range(70), torch.device("cpu"))
    table = config.bound(net, data, levels=None, seed=0, on_call=lambda: calls.append(1))
    assert len(calls) == 3  # batches of 32
    assert table.total.mean == pytest.approx(table.L_T.mean + table.L_0.mean)
    assert (table.L_between.mean, [term.t for term in table.terms]) == (0, [1])
    objective = config.build(spec, None)
    with torch.no_grad():  # other noise
        losses = [objective.loss(net, objective.draw(Batch(data.x0, data.cond), 0, k)).total for k in range(20)]
    assert table.total.mean == pytest.approx(float(torch.stack(losses).mean()) / (16 * math.log(2)), rel=0.02)


# ---------------------------------------------------------------------------------------- a linear autoencoder


def test_a_linear_autoencoder_reaches_probabilistic_pca_from_below() -> None:
    """Tipping & Bishop 1999: the best log-likelihood of x = W z + b + s eps is known in closed form; and the bound that
    is reported must be at most the exact log-likelihood of the model that was trained."""
    D, q, n = 12, 3, 500
    rng = np.random.default_rng(0)
    data = rng.normal(size=(n, q)) @ rng.normal(size=(q, D)) * 1.5 + rng.normal(size=D) + 0.6 * rng.normal(size=(n, D))
    x0 = torch.from_numpy(data.astype(np.float32))
    spec = DataSpec((D,), None, None, {})
    torch.manual_seed(0)
    net, objective = VAEConfig("vae", q, 1, (), 1, 1, 0.0, "shared").build(spec, False), ElboConfig("elbo", "normal")
    reported = -trained(net, objective.build(spec, None), Batch(x0, {}), steps=700)
    exact, best = log_likelihood_of(net, data, q), log_likelihood_of_pca(data, q)
    assert reported <= exact + 0.01  # of the noise in the report
    assert exact <= best + 1e-3
    assert best - reported <= 0.1


def trained(net: nn.Module, objective: ElboObjective, batch: Batch, steps: int) -> float:
    """Train on the whole data, then report the loss as the mean over many draws."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.03, betas=(0.9, 0.95))
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        optimiser.zero_grad()
        objective.loss(net, objective.draw(batch, 0, step)).total.backward()
        optimiser.step()
        rate.step()
    with torch.no_grad():
        losses = [float(objective.loss(net, objective.draw(batch, 1, step)).total) for step in range(100)]
    return float(np.mean(losses))


def log_likelihood_of(net: Any, data: Any, q: int) -> float:
    """The mean log N(x; b, W W^T + s^2 I), with b, W and s read off the decoder's answers."""
    with torch.no_grad():
        answers, log_scale = net.decode(torch.cat([torch.zeros(1, q), torch.eye(q)]))
    b, W = answers[0].double().numpy(), (answers[1:] - answers[0]).double().numpy().T
    C = W @ W.T + math.exp(2 * float(log_scale)) * np.eye(len(b))
    off = data - b
    squared = (off * np.linalg.solve(C, off.T).T).sum(1).mean()
    return float(-0.5 * (len(b) * math.log(2 * math.pi) + np.linalg.slogdet(C)[1] + squared))


def log_likelihood_of_pca(data: Any, q: int) -> float:
    """Tipping & Bishop 1999, eq. 3.9: sigma^2 is the mean of the eigenvalues left out."""
    spectrum = np.linalg.eigvalsh(np.cov(data.T, bias=True))[::-1]
    D, rest = len(spectrum), spectrum[q:]
    logs = np.log(spectrum[:q]).sum() + (D - q) * math.log(rest.mean())
    return float(-0.5 * (D * math.log(2 * math.pi) + logs + D))
