"""`compiles` says the truth for every network: whether one graph holds what a training step asks of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from ddpm_core.models import NetworkConfig
from ddpm_core.objectives.batch import Batch
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.objectives.elbo_config import ElboConfig
from ddpm_core.spec import DataSpec
from ddpm_core.training.compiled import operations
from tests.ddpm_core.models import test_conformance, test_hidden_values

Case = tuple[NetworkConfig, DataSpec, Callable[[], Batch]]
DENOISED = test_hidden_values.OBJECTIVE


def _batch_of(shape: tuple[int, ...]) -> Batch:
    return Batch(test_conformance.data(shape), {"label": test_conformance.LABELS})


CASES: list[Case] = [
    (config, test_conformance.spec_of(shape), partial(_batch_of, shape)) for config, shape in test_conformance.EXAMPLES
]
CASES += [(each.config, each.spec, each.batch) for each in test_hidden_values.EXAMPLES.values()]
every_case = pytest.mark.parametrize("case", CASES, ids=[f"{place}-{case[0].kind}" for place, case in enumerate(CASES)])


def _objective(config: NetworkConfig) -> DiffusionConfig | ElboConfig:
    return ElboConfig("elbo", "normal") if config.is_autoencoder else DENOISED


def _graphs(config: NetworkConfig, spec: DataSpec, batch: Batch) -> int:
    """How many pieces torch.compile makes of the network in the loss of a step."""
    pieces: list[Any] = []

    def counted(piece: torch.fx.GraphModule, _inputs: list[Any]) -> Any:
        pieces.append(piece)
        return piece.forward

    torch._dynamo.reset()
    objective = _objective(config)
    net: nn.Module = config.build(spec, objective.learned_variance)
    ours = objective.build(spec, None)
    ours.loss(torch.compile(net, backend=counted, dynamic=False), ours.draw(batch, 0, 0))
    return len(pieces)


@every_case
def test_a_network_compiles_if_one_graph_holds_all_that_a_step_asks_of_it(case: Case) -> None:
    config, spec, batch = case
    assert config.compiles == (_graphs(config, spec, batch()) == 1)


@every_case
def test_the_operations_of_what_compiles_are_counted(case: Case) -> None:
    config, spec, batch = case
    if config.compiles:
        learned = _objective(config).learned_variance
        assert operations(lambda: config.build(spec, learned), batch(), 4) > 0
