"""What a network is not told changes no bit of its answer, its loss or its gradients: not even NaN does.

One suite over the networks with conditions that may lack values. A new one is a line in EXAMPLES.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.models import NetworkConfig
from ddpm_core.models.csdi import CSDIConfig
from ddpm_core.models.timegrad_config import TimeGradConfig
from ddpm_core.objectives.batch import Batch, Known
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import Condition, DataSpec

B, K, W = 5, 3, 6
SCHEDULE, EVEN = Cosine("cosine", 20, 0.008, 0.999, False), Uniform("uniform", True)
OBJECTIVE = DiffusionConfig("diffusion", SCHEDULE, "v", "learned", Simple("simple"), EVEN, 1.0)


@dataclass(frozen=True)
class Example:
    """A network, how its conditions say what is told, and the flags that one batch has for it."""

    config: NetworkConfig
    conditions: Mapping[str, tuple[int, ...]]
    values: str
    """The condition with values of which some are told."""
    flags: str
    """The condition that says which."""
    told: Callable[[Tensor], Tensor]
    x_t_is_told: Callable[[Tensor], Tensor] | None
    """Where the network may look at x_t, by the flags; None: everywhere."""

    @property
    def spec(self) -> DataSpec:
        conditions = {name: Condition(shape, "float32", (), None) for name, shape in self.conditions.items()}
        return DataSpec((K, W), None, None, conditions, kind="series", masked=True)

    def net(self) -> nn.Module:
        torch.manual_seed(0)
        net = self.config.build(self.spec, learned_variance=True)
        for parameter in net.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return net

    def batch(self) -> Batch:
        random = torch.Generator().manual_seed(1)
        cond = {name: torch.randn(B, *shape, generator=random) for name, shape in self.conditions.items()}
        flags = torch.randint(-1, 2, cond[self.flags].shape, generator=random).float()
        if self.x_t_is_told is None:
            flags, mask = (flags > 0).float(), torch.randint(0, 2, (B, K, W), generator=random).float()
        else:
            mask = self.x_t_is_told(flags).float()
        return Batch(torch.randn(B, K, W, generator=random), {**cond, self.flags: flags}, mask)


def _csdi(time_layer: Any) -> Example:
    config = CSDIConfig("csdi", time_layer, 8, 2, 2, 3, 0.0)
    conditions = {"observed": (K, W), "told": (K, W), "calendar": (2, W)}
    return Example(config, conditions, "observed", "told", lambda told: told == 1, lambda told: told == 0)


def _timegrad(cell: Any, head: Any) -> Example:
    config = TimeGradConfig("timegrad", cell, 2, 6, (1, 2), head, 8, 2, 0.0)
    conditions = {"history": (K, 5), "seen": (K, 5), "calendar": (2, 5 + W)}
    return Example(config, conditions, "history", "seen", lambda seen: seen > 0, None)


EXAMPLES = {
    "csdi": _csdi("attention"),
    "csdi_s4d": _csdi("s4d"),
    "timegrad_gru": _timegrad("gru", "mlp"),
    "timegrad_lstm": _timegrad("lstm", "conv"),
}
every_network = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())


def _permuted(values: Tensor) -> Tensor:
    return values[torch.randperm(len(values), generator=torch.Generator().manual_seed(3))]


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "permuted": _permuted,
    "huge": lambda values: torch.full_like(values, 1e30),
    "nan": lambda values: torch.full_like(values, torch.nan),
    "infinite": lambda values: torch.full_like(values, -torch.inf),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


def changed(values: Tensor, where: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The values, with those marked ones changed."""
    assert where.any()
    out = values.clone()
    out[where] = change(values[where])
    assert not torch.equal(out, values)
    return out


def learned(net: nn.Module, batch: Batch) -> list[Tensor]:
    """The loss, that of each datum, and every gradient."""
    net.zero_grad()
    objective = OBJECTIVE.build(DataSpec((K, W), None, None, {}), None)
    loss = objective.loss(net, objective.draw(batch, seed=2, step=3))
    loss.total.backward()
    found = [loss.total.detach(), loss.items, *(p.grad for p in net.parameters() if p.grad is not None)]
    assert all(each.isfinite().all() for each in found)
    return [each.clone() for each in found]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(mine, its) for mine, its in zip(one, other, strict=True))


@every_network
@every_change
def test_hidden_values_change_no_bit_of_answer_loss_and_gradients(example: Example, change: Any) -> None:
    net, batch = example.net(), example.batch()
    hidden = ~example.told(batch.cond[example.flags])
    other = {**batch.cond, example.values: changed(batch.cond[example.values], hidden, change)}
    assert same(learned(net, batch), learned(net, Batch(batch.x0, other, batch.mask)))


@every_network
@every_change
def test_masked_targets_change_no_bit_of_loss_and_gradients(example: Example, change: Any) -> None:
    net, batch = example.net(), example.batch()
    assert batch.mask is not None
    other = changed(batch.x0, batch.mask == 0, change)
    assert same(learned(net, batch), learned(net, Batch(other, batch.cond, batch.mask)))


@every_network
@every_change
def test_x_t_of_what_is_not_asked_for_changes_no_bit_of_the_answer(example: Example, change: Any) -> None:
    if example.x_t_is_told is None:
        pytest.skip("all of x_t is asked for")
    net, batch = example.net().eval(), example.batch()
    t = torch.linspace(1, 20, B)
    other = changed(batch.x0, ~example.x_t_is_told(batch.cond[example.flags]), change)
    assert torch.equal(net(batch.x0, t, **batch.cond), net(other, t, **batch.cond))


@every_network
def test_a_told_value_and_a_target_do_change_the_loss(example: Example) -> None:
    net, batch = example.net(), example.batch()
    assert batch.mask is not None
    base = learned(net, batch)[1]
    told = example.told(batch.cond[example.flags])
    other = {**batch.cond, example.values: batch.cond[example.values] + told}
    assert (learned(net, Batch(batch.x0, other, batch.mask))[1] != base).all()
    assert (learned(net, Batch(batch.x0 + batch.mask, batch.cond, batch.mask))[1] != base).all()


@every_network
@every_change
def test_the_future_changes_no_bit_of_what_is_answered_before_it(example: Example, change: Any) -> None:
    net, batch = example.net().eval(), example.batch()
    if not getattr(net, "teacher_forced", False):
        pytest.skip("it is not told the data")
    t = torch.linspace(1, 20, B)
    x_t, ones = torch.randn(B, K, W, generator=torch.Generator().manual_seed(4)), torch.ones(B, K, W)
    base = net(x_t, t, **batch.cond, known=Known(batch.x0, ones))
    for step in range(W):
        later = (torch.arange(W) >= step).expand(B, K, W)
        out = net(x_t, t, **batch.cond, known=Known(changed(batch.x0, later, change), ones))
        assert torch.equal(out[..., : step + 1], base[..., : step + 1])
        assert step + 1 == W or not torch.equal(out, base)
