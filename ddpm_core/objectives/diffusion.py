"""The diffusion objective: the weighted, masked error of a network's output, plus the bound for a learned variance.

    loss = sum(mask * weight * w[t] / (T p_t) * d) / sum(mask),    d the squared error of each element

p_t is the probability of the drawn t. Only the mask normalises, over the whole batch (and all its parts), so neither w
nor the importance weight 1 / (T p_t) cancels. Every random number is a function of (seed, purpose, step).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_core.device import normal, torch_generator
from ddpm_core.diffusion.arrays import per_item
from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.diffusion.schedule import Floats
from ddpm_core.diffusion.time_law import TimeLaw
from ddpm_core.diffusion.weighting import Vlb
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.likelihood.terms import kl_normal, negative_log_bin, negative_log_normal
from ddpm_core.objectives.base import BANDS, Draw, Loss
from ddpm_core.objectives.batch import WHOLE, Batch, Known, LabelDropout, Share
from ddpm_core.spec import DataSpec
from ddpm_core.tensors.process import Process, look_up, to_device

if TYPE_CHECKING:
    from ddpm_core.objectives.diffusion_config import DiffusionConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bound:
    """How L_vlb is added to the loss for a learned variance; `levels` None: L_0 is a density."""

    share: float
    moves_mean: bool
    ends: tuple[float, float] | None
    levels: int | None


@dataclass(frozen=True, kw_only=True)
class DiffusionDraw(Draw):
    """Data at their drawn levels, with the network's target."""

    t: NDArray[np.int64]
    x_in: Tensor  # c_in x_t
    time: Tensor
    cond: Mapping[str, Tensor]
    x0: Tensor
    target: Tensor
    factor: Tensor  # 1 / (T p_t)
    weight: Tensor  # w[t]
    element: Tensor | None  # mask * weight of each element
    rows: tuple[Tensor, ...]  # of the bound

    def __len__(self) -> int:
        return len(self.t)


class DiffusionObjective:
    """The error of `net(x_t, t, **cond)` from the target of a parameterisation."""

    def __init__(
        self,
        process: Process,
        weights: Floats,
        law: TimeLaw,
        *,
        dropout: LabelDropout | None = None,
        bound: Bound | None = None,
    ) -> None:
        if weights.shape != (process.T + 1,):
            raise ParamsError(f"weights: needs one for each of the levels 0..{process.T}, got shape {weights.shape}")
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ParamsError("weights: must be finite and not negative at every level")
        if law.T != process.T:
            raise ParamsError(f"time law: must be over the process's {process.T} levels, got one over {law.T}")
        self.process, self.law, self.dropout, self.bound = process, law, dropout, bound
        self._weights: Floats = weights[None]
        self._bound_rows = _bound_tables(process) if bound else None

    # ------------------------------------------------------------------------------------------------ drawing

    def draw(self, batch: Batch, seed: int, step: int, share: Share = WHOLE) -> DiffusionDraw:
        """Make every random choice of a step: levels from the law, the noise, and dropout of conditions.

        With a `share` the batch has only the rows of one process. The choices are made for the whole batch and then
        cut, so that they do not depend on the number of processes; `count` is of these rows alone.
        """
        if not batch.x0.is_floating_point():
            raise DataError(f"data must be floating point, got {batch.x0.dtype}; encode them with their DataSpec first")
        if not len(batch):
            raise DataError("a batch must hold one datum or more, got none")
        device = batch.x0.device
        size = len(batch) * share.of
        own = share.rows(size)
        t, factor = self.law.draw(size, generator(seed, Purpose.TRAIN_TIME, step))
        t, factor = t[own], factor[own]
        x0 = batch.filled
        eps = normal((size, *x0.shape[1:]), torch_generator(device, seed, Purpose.TRAIN_NOISE, step), x0.dtype)[own]
        levels = self.process.at(t, x0)
        (weight,) = look_up(self._weights, t, x0)
        return DiffusionDraw(
            t=t,
            band=to_device(bands(t, self.process.T), device),
            x_in=levels.c_in * self.process.perturb(levels, x0, eps),
            time=levels.time,
            cond=batch.cond if self.dropout is None else self.dropout.of(batch.cond, seed, step, share),
            x0=x0,
            target=self.process.target(levels, x0, eps),
            factor=per_item(to_device(factor.astype(np.float32), device), x0),
            weight=weight,
            element=batch.elements,
            count=_count(batch),
            rows=(levels.B, *look_up(self._bound_rows, t, x0)) if self._bound_rows is not None else (),
        )

    # ------------------------------------------------------------------------------------------------- losses

    def loss(self, net: nn.Module, draw: DiffusionDraw) -> Loss:
        """The loss of a draw, or of a part of one."""
        known = {"known": Known(draw.x0, draw.element)} if getattr(net, "teacher_forced", False) else {}
        out = net(draw.x_in, draw.time, **draw.cond, **known).to(draw.target.dtype)
        size, channels, *rest = draw.target.shape
        expected = (size, channels * (2 if self.bound else 1), *rest)
        if tuple(out.shape) != expected:
            raise ParamsError(
                f"the network must give {expected[1]} channels, got {out.shape[1]}; for this batch the shape "
                f"{expected}, got {tuple(out.shape)}"
            )
        error = draw.target - out[:, :channels]
        each = draw.weight * error**2
        if self.bound is not None:
            nats = self._bound_term(self.bound, draw, error, out[:, channels:])
            each = each + self.bound.share * self.process.T * nats
        if draw.element is not None:
            each = each * draw.element
        total = (draw.factor * each).sum() / draw.count.clamp(min=1)
        return Loss(total, _item_means(each.detach(), draw.element))

    def _bound_term(self, bound: Bound, draw: DiffusionDraw, error: Tensor, answer: Tensor) -> Tensor:
        """L_{t-1}, or L_0 at t = 1, of each element, in nats; the output contains v of log sigma^2."""
        B, of_x0, log_large, log_small, log_tilde, first = draw.rows
        if not bound.moves_mean:
            error = error.detach()
        # Nichol & Dhariwal 2021, eq. 15
        f = (answer + 1) / 2
        log_var = f * log_large + (1 - f) * log_small
        off = B * error  # x_0 - x0_hat
        kl = kl_normal(log_tilde, log_var, (of_x0 * off) ** 2)
        mean = draw.x0 - off
        if bound.levels is None or bound.ends is None:
            last = negative_log_normal(draw.x0, mean, log_var)
        else:
            last = negative_log_bin(draw.x0, mean, log_var, bound.ends, bound.levels)
        return torch.where(first > 0, last, kl)

    # -------------------------------------------------------------------------------------------------- state

    @property
    def learns_from_losses(self) -> bool:
        """Whether the time law learns from the losses."""
        return type(self.law).observe is not TimeLaw.observe

    def observe(self, draw: DiffusionDraw, items: Tensor, gather: Callable[[Tensor], Tensor]) -> None:
        """Give the time law the losses at the levels of a step."""
        self.law.observe(gather(torch.from_numpy(draw.t)).numpy(), items.double().cpu().numpy())

    def state_dict(self) -> dict[str, Any]:
        return self.law.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.law.load_state_dict(state)


def build_objective(config: "DiffusionConfig", spec: DataSpec, dropout: LabelDropout | None) -> DiffusionObjective:
    """The objective of section `diffusion`. With a learned variance, weighting `vlb` means the bound alone."""
    parameterisation = config.parameterisation()
    process, schedule = Process(parameterisation), parameterisation.schedule
    weights = config.weighting.table(parameterisation)
    bound = None
    alone = config.learned_variance and isinstance(config.weighting, Vlb)
    if weights[-1] == 0 and not alone:
        _log.warning(
            "weighting %s: level %d, the last, has weight 0, as it holds no signal; the network is not trained where "
            "sampling begins. Take simple, vlb or edm, or a schedule that keeps some signal",
            config.weighting.kind,
            schedule.T,
        )
    if config.learned_variance:
        weights = np.zeros_like(weights) if alone else weights
        bound = Bound(1.0 if alone else config.vlb_weight, alone, spec.range, spec.levels)
    return DiffusionObjective(process, weights, config.time_law.build(schedule), dropout=dropout, bound=bound)


def _bound_tables(process: Process) -> Floats:
    """Per level: weight of x_0 in mu_tilde, ln beta, ln beta_tilde to mix, ln beta_tilde of the posterior, t is 1."""
    schedule = process.parameterisation.schedule
    tables = np.zeros((5, schedule.T + 1))
    for t in range(1, schedule.T + 1):
        large, small = schedule.log_variances_between(t - 1, t)
        of_x0 = float(schedule.posterior_mean_between(t - 1, t)[1])
        tables[:, t] = of_x0, large, small, small, float(t == 1)
    return tables


def bands(t: NDArray[np.int64], T: int) -> NDArray[np.float32]:
    """The band of each level: which of the equal parts of 1..T it is in."""
    level = (t / T).astype(np.float32)
    band: NDArray[np.float32] = np.clip(np.ceil(level * BANDS) - 1, 0, BANDS - 1)
    return band


def _count(batch: Batch) -> Tensor:
    """sum(mask); the loss divides by 1 instead of 0, so that a batch in which nothing counts has loss 0."""
    if batch.mask is None:
        return torch.full((), float(batch.x0.numel()), device=batch.x0.device)  # a kernel, without a copy to wait for
    return batch.mask.expand_as(batch.x0).sum(dtype=torch.float32)


def _item_means(each: Tensor, element: Tensor | None) -> Tensor:
    """[B]: each item's mean over the elements that count."""
    if element is None:
        return each.flatten(1).mean(1)
    counting = (element != 0).expand_as(each).flatten(1).sum(1)
    return each.flatten(1).sum(1) / counting.clamp(min=1)
