"""The negative evidence lower bound of a variational autoencoder, in nats a datum (Kingma & Welling 2014).

    loss = mean over data of  -log p(x | z) + KL(q(z | x) || N(0, I)),    z = mu + exp(log_var / 2) eps

Both terms are sums over dimensions, so the loss is an upper bound of -log p(x) of a datum. `eps` is noise of the shape
of the data, a function of (seed, step), of which z takes the first numbers, as sampling does.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_core.device import normal, torch_generator
from ddpm_core.diffusion.noise import Purpose, step_noise
from ddpm_core.likelihood.nll import Data
from ddpm_core.likelihood.nll_tables import BoundTable, Sums, Terms
from ddpm_core.likelihood.terms import kl_normal, negative_log_bin, negative_log_logistic, negative_log_normal
from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.objectives.batch import WHOLE, Batch, LabelDropout, Share
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.objectives.elbo_config import Likelihood


@dataclass(frozen=True, kw_only=True)
class ElboDraw(Draw):
    """Data with the noise of their latent numbers."""

    x0: Tensor
    cond: Mapping[str, Tensor]
    eps: Tensor  # [B, values of a datum]
    element: Tensor | None  # mask * weight of each element

    def __len__(self) -> int:
        return len(self.x0)


class ElboObjective:
    """The bound of `net.encode(x, **cond)` and `net.decode(z, **cond)`."""

    learns_from_losses = False

    def __init__(self, likelihood: "Likelihood", spec: DataSpec, dropout: LabelDropout | None = None) -> None:
        self._likelihood, self._spec, self._dropout = likelihood, spec, dropout

    def draw(self, batch: Batch, seed: int, step: int, share: Share = WHOLE) -> ElboDraw:
        """The noise and the dropout of conditions of a step, made for the whole batch and then cut."""
        x0, size = batch.filled, len(batch) * share.of
        random = torch_generator(x0.device, seed, Purpose.TRAIN_NOISE, step)
        eps = normal((size, *x0.shape[1:]), random, x0.dtype)[share.rows(size)]
        return ElboDraw(
            count=torch.full((), float(len(batch)), device=x0.device),
            band=None,
            x0=x0,
            cond=batch.cond if self._dropout is None else self._dropout.of(batch.cond, seed, step, share),
            eps=eps.flatten(1),
            element=batch.elements,
        )

    def loss(self, net: nn.Module, draw: ElboDraw) -> Loss:
        """The mean over the data of the draw, or a part's share of it."""
        distortion, rate = terms(net, draw.x0, draw.cond, draw.eps, self._likelihood, self._spec, draw.element)
        items = distortion + rate
        return Loss(items.sum() / draw.count.clamp(min=1), items.detach())

    def observe(self, draw: ElboDraw, items: Tensor, gather: Callable[[Tensor], Tensor]) -> None:
        """It learns nothing from losses."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is none."""


def terms(
    net: Any,
    x0: Tensor,
    cond: Mapping[str, Tensor],
    eps: Tensor,
    likelihood: "Likelihood",
    spec: DataSpec,
    element: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """-log p(x | z) and KL(q(z | x) || p(z)) of each datum, in nats, [B] and [B]; eps [B, latent or more]."""
    mu, log_var = net.encode(x0, **cond)
    # Kingma & Welling 2014, eq. 10 and appendix B
    z = mu + torch.exp(0.5 * log_var) * eps[:, : mu.shape[1]]
    mean, log_scale = net.decode(z, **cond)
    nats = negative_log_likelihood(x0, mean, log_scale, likelihood, spec)
    if element is not None:
        nats = nats * element
    rate = kl_normal(log_var, torch.zeros_like(log_var), mu**2)
    return nats.flatten(1).sum(1), rate.sum(1)


def negative_log_likelihood(
    x0: Tensor, mean: Tensor, log_scale: Tensor, likelihood: "Likelihood", spec: DataSpec
) -> Tensor:
    """-log p of each value: of its level where the data have levels, else of its density."""
    log_var = (2 * log_scale).expand_as(mean)
    if spec.levels is None or spec.range is None:
        density = negative_log_normal if likelihood == "normal" else negative_log_logistic
        return density(x0, mean, log_var)
    log_cdf = torch.special.log_ndtr if likelihood == "normal" else nn.functional.logsigmoid
    return negative_log_bin(x0, mean, log_var, spec.range, spec.levels, log_cdf)


@torch.no_grad()
def elbo_table(
    net: nn.Module, likelihood: "Likelihood", data: Data, *, seed: int, on_call: Callable[[], None]
) -> BoundTable:
    """The bound of the data, in bits per dimension, as that of a chain of one level: its L_T is the KL term, its L_0
    is -log p(x | z). One draw of z a datum, which depends on the seed and the datum's number alone.
    """
    sums, seen = Sums(), Terms(1)
    for part in data.groups(None):
        drawn = torch.from_numpy(step_noise(seed, 1, part.spec.shape, part.numbers, Purpose.EVALUATE))
        eps = drawn.to(part.x0.device).flatten(1)
        distortion, rate = terms(net, part.x0, part.cond, eps, likelihood, part.spec)
        on_call()
        per_bit = math.log(2) * part.x0[0].numel()
        first, prior = (each.double().cpu().numpy() / per_bit for each in (distortion, rate))
        seen.add(np.array([1]), first[None])
        sums.add(prior, 0 * prior, first)
    return sums.table(seen.rows(), each_alone=True)
