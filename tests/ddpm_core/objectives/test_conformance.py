"""Conformance: what every objective that params.yaml can choose must hold. A new objective is a line in EXAMPLES."""

import dataclasses
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.models.mlp_config import MLPConfig
from ddpm_core.models.vae_config import VAEConfig
from ddpm_core.objectives.base_config import BaseObjectiveConfig
from ddpm_core.objectives.batch import Batch, LabelDropout, Share
from ddpm_core.objectives.config import ObjectiveConfig
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.objectives.distillation_config import (
    BakedGuidance,
    DistillationConfig,
    TeacherConfig,
    TrajectoryRegression,
)
from ddpm_core.objectives.elbo_config import ElboConfig
from ddpm_core.samplers.config import GuidanceConfig
from ddpm_core.spec import labelled

SPEC = labelled((2, 3), None, None, ("a", "b"))
COSINE = Cosine("cosine", 20, 0.008, 0.999, False)
LAW = Uniform("uniform", True)
MLP, VAE = MLPConfig("mlp", 8, 1, 0.0), VAEConfig("vae", 2, 4, (1,), 1, 1, 0.0, "each")
TEACHER, GUIDED = TeacherConfig("teacher", "0" * 64), GuidanceConfig(0.6, (0.25, 0.9), 0.0)
WALKED = TrajectoryRegression("trajectories", 5, 4, (20, 10, 0), "none")
EXAMPLES: list[tuple[BaseObjectiveConfig, Any]] = [  # with a network that it trains
    (DiffusionConfig("diffusion", COSINE, "v", "learned", Simple("simple"), LAW, 0.001), MLP),
    (ElboConfig("elbo", "normal"), VAE),
    (DistillationConfig("distillation", TEACHER, COSINE, "v", GUIDED, BakedGuidance("guidance", 0.8)), MLP),
    (DistillationConfig("distillation", TEACHER, COSINE, "v", GUIDED, WALKED), MLP),
]
every_objective = pytest.mark.parametrize(
    ("config", "network"), EXAMPLES, ids=[getattr(c, "method", c).kind for c, _ in EXAMPLES]
)


def net_of(config: Any, network: Any) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = network.build(SPEC, config.learned_variance)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return net


def built(config: Any, network: Any, dropout: LabelDropout | None) -> Any:
    if isinstance(config, DistillationConfig):
        return config.build_taught(SPEC, net_of(config, network), torch.float32)
    return config.build(SPEC, dropout)


def batch(mask: Tensor | None = None, weight: Tensor | None = None) -> Batch:
    x0 = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(1))
    return Batch(x0, {"label": torch.arange(6) % 3}, mask, weight)


def equal(mine: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(mine.tensors(), other.tensors(), strict=True))


def test_every_objective_has_an_example() -> None:
    assert {type(config) for config, _ in EXAMPLES} == set(get_args(ObjectiveConfig))


@every_objective
def test_its_keys_have_no_defaults_and_a_bundle_can_be_made(config: Any, network: Any) -> None:
    assert all(field.default is dataclasses.MISSING for field in dataclasses.fields(config))
    parameterisation = config.parameterisation()
    assert isinstance(parameterisation, Parameterisation)
    assert (parameterisation.target, parameterisation.schedule.T) == (config.target, config.levels)
    assert config.needs_autoencoder == network.is_autoencoder


@every_objective
def test_a_draw_is_a_function_of_seed_and_step_whatever_the_share(config: Any, network: Any) -> None:
    ours, data = built(config, network, LabelDropout({"label": 2}, 0.5)), batch()
    draw = ours.draw(data, 3, 7)
    assert equal(draw, ours.draw(data, 3, 7))
    assert not equal(draw, ours.draw(data, 4, 7))
    assert not equal(draw, ours.draw(data, 3, 8))
    for number in range(3):
        rows = Share(number, 3).rows(6)
        part = Batch(data.x0[rows], {"label": data.cond["label"][rows]})
        mine = ours.draw(part, 3, 7, Share(number, 3))
        for of_part, of_whole in zip(mine.tensors(), draw.tensors(), strict=True):
            assert of_whole.ndim == 0 or torch.equal(of_part, of_whole[rows])


@every_objective
def test_the_parts_of_a_draw_sum_to_its_loss(config: Any, network: Any) -> None:
    ours, net = built(config, network, None), net_of(config, network)
    draw = ours.draw(batch(weight=torch.full((1, 1, 1), 0.5)), 0, 0)
    whole, parts = ours.loss(net, draw), [ours.loss(net, part) for part in draw.parts(4)]
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)
    torch.testing.assert_close(torch.cat([part.items for part in parts]), whole.items)
    assert whole.items.shape == (6,)
    assert not whole.items.requires_grad


@every_objective
def test_masked_elements_change_nothing_not_even_as_nan(config: Any, network: Any) -> None:
    ours, net = built(config, network, None), net_of(config, network)
    mask = torch.ones(6, 2, 3)
    mask[:, 1, 1] = 0
    clean, dirty = batch(mask), batch(mask)
    dirty.x0[:, 1, 1] = float("nan")
    one, other = (ours.loss(net, ours.draw(data, 0, 0)) for data in (clean, dirty))
    assert torch.equal(one.total, other.total)
    assert torch.equal(one.items, other.items)
    assert bool(one.total.isfinite())


@every_objective
def test_every_parameter_learns(config: Any, network: Any) -> None:
    ours, net = built(config, network, None), net_of(config, network)
    ours.loss(net, ours.draw(batch(), 0, 0)).total.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_objective
def test_its_state_goes_through_a_checkpoint(config: Any, network: Any) -> None:
    ours, again = built(config, network, None), built(config, network, None)
    again.load_state_dict(ours.state_dict())
    assert equal(ours.draw(batch(), 0, 0), again.draw(batch(), 0, 0))


class _Reads(TorchDispatchMode):
    """Counts the numbers that Python reads from tensors: on a GPU it waits for each."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@every_objective
def test_a_step_waits_for_no_number(config: Any, network: Any) -> None:
    ours, net, data = built(config, network, LabelDropout({"label": 2}, 0.5)), net_of(config, network), batch()
    ours.draw(data, 3, 0)  # trajectories are made at the first
    with _Reads() as reads:
        ours.loss(net, ours.draw(data, 3, 1)).total.backward()
    assert reads.count == 0
