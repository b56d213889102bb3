"""What training minimises: the weighted, masked error of a network's answer, plus the bound for a learned variance.

    loss = sum(mask * weight * w[t] / (T p_t) * d) / sum(mask),    d the squared error of each element

p_t is the law that t was drawn from. Only the mask normalises, over the whole batch (and all its parts): neither w nor
the importance weight 1 / (T p_t) cancels. Every random number is a function of (seed, purpose, step).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_core.device import normal, torch_generator
from ddpm_core.diffusion.config import DiffusionConfig
from ddpm_core.diffusion.levels import Floats
from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.diffusion.time_law import TimeLaw
from ddpm_core.diffusion.weighting import Vlb
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.likelihood import kl_normal, negative_log_bin, negative_log_normal
from ddpm_core.process import Process, look_up, per_item, to_device
from ddpm_core.spec import DataSpec


@dataclass(frozen=True)
class Batch:
    """Data [B, *shape]; conditions, each with leading B; which elements count (1 or 0), and how much each does."""

    x0: Tensor
    cond: Mapping[str, Tensor]
    mask: Tensor | None = None
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.x0.shape)
        for name, values in (("mask", self.mask), ("weight", self.weight)):
            if values is not None and (values.ndim != len(shape) or values.shape[0] not in (1, shape[0])):
                raise DataError(f"{name}: must have the axes of the data {shape}, got shape {tuple(values.shape)}")
        wrong = {name: len(values) for name, values in self.cond.items() if len(values) != shape[0]}
        if wrong:
            raise DataError(f"conditions: must have one value for each of {shape[0]} data, got {wrong}")

    def __len__(self) -> int:
        return self.x0.shape[0]

    def to(self, device: torch.device) -> "Batch":
        """On the device, without waiting for it."""
        return _mapped(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """In memory that a GPU reads without the host's help."""
        return _mapped(self, lambda tensor: tensor.pin_memory())


@dataclass(frozen=True)
class LabelDropout:
    """Ho & Salimans 2022, for guidance: a share of the data is shown with the null value of its conditions."""

    null: Mapping[str, int]
    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ParamsError(f"label dropout: must be a probability between 0 and 1, got {self.probability}")


@dataclass(frozen=True)
class Bound:
    """How L_vlb joins the loss where the variance is learned; `levels` None: the data have none, L_0 is a density."""

    share: float
    moves_mean: bool
    ends: tuple[float, float] | None
    levels: int | None


@dataclass(frozen=True)
class Share:
    """The rows of every batch that process `number` of `of` is shown: equal parts, in the processes' order."""

    number: int
    of: int

    def rows(self, size: int) -> slice:
        part = size // self.of
        return slice(self.number * part, (self.number + 1) * part)


WHOLE = Share(0, 1)


@dataclass(frozen=True)
class Draw:
    """A batch with every random choice made; each tensor has leading B, so that it can be cut into parts."""

    t: NDArray[np.int64]
    level: Tensor  # where t lies, in (0, 1]
    x_in: Tensor  # c_in x_t
    time: Tensor
    cond: Mapping[str, Tensor]
    x0: Tensor
    target: Tensor
    factor: Tensor  # 1 / (T p_t)
    weight: Tensor  # w[t]
    element: Tensor | None  # mask * weight of each element
    count: Tensor  # elements that count in the whole batch, of all its parts
    rows: tuple[Tensor, ...]  # of the bound

    def parts(self, number: int) -> list["Draw"]:
        """The same in parts of equal size, or nearly so, which share the whole's count."""
        if number == 1:
            return [self]
        ends = [part * len(self.t) // number for part in range(number + 1)]
        return [self._part(slice(start, end)) for start, end in pairwise(ends)]

    def tensors(self) -> list[Tensor]:
        """Everything that a loss looks at."""
        found: list[Tensor] = []

        def kept(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self._mapped(kept)
        return found

    def copied(self) -> "Draw":
        """The same in tensors of its own."""
        return self._mapped(Tensor.clone)

    def holds(self, other: "Draw") -> bool:
        """Whether the other's tensors fit into these."""
        mine, others = self.tensors(), other.tensors()
        return [(one.shape, one.dtype) for one in mine] == [(one.shape, one.dtype) for one in others]

    def take(self, other: "Draw") -> None:
        """Copy the other's tensors into these."""
        torch._foreach_copy_(self.tensors(), other.tensors())

    def _part(self, place: slice) -> "Draw":
        part = self._mapped(lambda tensor: tensor[place] if tensor.ndim else tensor)  # `count` has no axis
        return replace(part, t=self.t[place])

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "Draw":
        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            if isinstance(value, tuple):
                return tuple(changed(item) for item in value)
            if isinstance(value, Mapping):
                return {key: changed(item) for key, item in value.items()}
            return value

        return Draw(**{field.name: changed(getattr(self, field.name)) for field in fields(self)})


@dataclass(frozen=True)
class Loss:
    """`total` to go backward from (the parts of a batch add up to its loss) and each item's bare loss, detached."""

    total: Tensor
    items: Tensor  # [B]


class Objective:
    """The error of `net(x_t, t, **cond)` against the target of a parameterisation."""

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

    def draw(self, batch: Batch, seed: int, step: int, share: Share = WHOLE) -> Draw:
        """Every random choice of a step: levels by the law, what is added to the data, which labels are dropped.

        With a `share` the batch has but the rows of one process. The choices are made for the whole batch and cut, so
        that the same data meet the same choices however many processes there are; `count` is of these rows alone.
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
        x0 = batch.x0
        if batch.mask is not None:  # what does not count may hold anything, NaN too
            x0 = torch.where(batch.mask > 0, x0, torch.zeros_like(x0))
        eps = normal((size, *x0.shape[1:]), torch_generator(device, seed, Purpose.TRAIN_NOISE, step), x0.dtype)[own]
        levels = self.process.at(t, x0)
        (weight,) = look_up(self._weights, t, x0)
        return Draw(
            t=t,
            level=to_device((t / self.process.T).astype(np.float32), device),
            x_in=levels.c_in * self.process.perturb(levels, x0, eps),
            time=levels.time,
            cond=self._dropped(batch.cond, seed, step, share),
            x0=x0,
            target=self.process.target(levels, x0, eps),
            factor=per_item(to_device(factor.astype(np.float32), device), x0),
            weight=weight,
            element=_elements(batch),
            count=_count(batch),
            rows=(levels.B, *look_up(self._bound_rows, t, x0)) if self._bound_rows is not None else (),
        )

    def _dropped(self, cond: Mapping[str, Tensor], seed: int, step: int, share: Share) -> Mapping[str, Tensor]:
        if self.dropout is None or self.dropout.probability == 0:
            return cond
        kept = dict(cond)
        for name, null in self.dropout.null.items():
            size = len(cond[name]) * share.of
            u = generator(seed, Purpose.LABEL_DROPOUT, step).random(size)[share.rows(size)]
            drop = to_device(u < self.dropout.probability, cond[name].device)
            kept[name] = torch.where(per_item(drop, cond[name]), torch.full_like(cond[name], null), cond[name])
        return kept

    # ------------------------------------------------------------------------------------------------- losses

    def loss(self, net: nn.Module, draw: Draw) -> Loss:
        """The loss of a draw, or of a part of one."""
        out = net(draw.x_in, draw.time, **draw.cond).to(draw.target.dtype)
        size, channels, *rest = draw.target.shape
        expected = (size, channels * (2 if self.bound else 1), *rest)
        if tuple(out.shape) != expected:
            raise ParamsError(
                f"the network must answer with {expected[1]} channels, got {out.shape[1]}; of this batch with "
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

    def _bound_term(self, bound: Bound, draw: Draw, error: Tensor, answer: Tensor) -> Tensor:
        """L_{t-1}, or L_0 where t = 1, of each element, in nats; the answer holds v of log sigma^2."""
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
        """Whether `observe` must be told of every step's losses (which costs a look at the device)."""
        return type(self.law).observe is not TimeLaw.observe

    def observe(self, draw: Draw, items: Tensor) -> None:
        """Tell the time law what the levels of a step cost."""
        self.law.observe(draw.t, items.double().cpu().numpy())

    def state_dict(self) -> dict[str, Any]:
        return self.law.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.law.load_state_dict(state)


def build_objective(config: DiffusionConfig, spec: DataSpec, dropout: LabelDropout | None) -> Objective:
    """The objective of section `diffusion`. With a learned variance, weighting `vlb` is the bound and nothing else."""
    parameterisation = config.parameterisation()
    process, schedule = Process(parameterisation), parameterisation.schedule
    weights = config.weighting.table(parameterisation)
    bound = None
    if config.learned_variance:
        alone = isinstance(config.weighting, Vlb)
        weights = np.zeros_like(weights) if alone else weights
        bound = Bound(1.0 if alone else config.vlb_weight, alone, spec.range, spec.levels)
    return Objective(process, weights, config.time_law.build(schedule), dropout=dropout, bound=bound)


def _bound_tables(process: Process) -> Floats:
    """Per level: weight of x_0 in mu_tilde, ln beta, ln beta_tilde to mix, ln beta_tilde of the posterior, t is 1."""
    schedule = process.parameterisation.schedule
    tables = np.zeros((5, schedule.T + 1))
    for t in range(1, schedule.T + 1):
        large, small = schedule.log_variances_between(t - 1, t)
        of_x0 = float(schedule.posterior_mean_between(t - 1, t)[1])
        tables[:, t] = of_x0, large, small, small, float(t == 1)
    return tables


def _elements(batch: Batch) -> Tensor | None:
    if batch.mask is None:
        return None if batch.weight is None else batch.weight.expand_as(batch.x0)
    mask = batch.mask.to(batch.x0.dtype).expand_as(batch.x0)
    return mask if batch.weight is None else mask * batch.weight


def _count(batch: Batch) -> Tensor:
    """sum(mask); the loss takes 1 for 0, so that a batch in which nothing counts has the loss 0."""
    if batch.mask is None:
        return torch.full((), float(batch.x0.numel()), device=batch.x0.device)  # a kernel, not a copy to wait for
    return batch.mask.expand_as(batch.x0).sum(dtype=torch.float32)


def _item_means(each: Tensor, element: Tensor | None) -> Tensor:
    """[B]: each item's mean over the elements that count."""
    if element is None:
        return each.flatten(1).mean(1)
    counting = (element != 0).expand_as(each).flatten(1).sum(1)
    return each.flatten(1).sum(1) / counting.clamp(min=1)


def _mapped(batch: Batch, change: Any) -> Batch:
    def maybe(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else change(tensor)

    cond = {name: change(tensor) for name, tensor in batch.cond.items()}
    return Batch(change(batch.x0), cond, maybe(batch.mask), maybe(batch.weight))
