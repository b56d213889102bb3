"""TimeGrad step by step, by its two graphs, answers as in training and makes the same samples."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.errors import DataError
from ddpm_core.models.timegrad_config import TimeGradConfig
from ddpm_core.objectives.batch import Known
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, Rollout, graphs_of, procedure_of
from ddpm_core.spec import DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from tests.ddpm_core.models.test_timegrad import TINY, B, H, L, data, net, spec_of
from tests.support.tiny_bundle import tiny_sample_config


def stepped(model: nn.Module, x: Tensor, cond: dict[str, Tensor]) -> list[Tensor]:
    procedure = procedure_of(model)
    assert procedure is not None
    state, found = torch.zeros(B, procedure.state), []
    for position in range(-procedure.warm_up, H):
        known = x.clone()
        known[:, :, max(position, 0) :] = 0  # as a rollout has it
        state = model.encoder(known, torch.full((B,), float(position)), state=state, **cond)
        found += [state] if position >= 0 else []
    return found


@pytest.mark.parametrize(
    "changes", [{}, {"layers": 2}, {"cell": "lstm", "layers": 2, "head": "conv"}, {"lags": (2, 5)}]
)
def test_step_by_step_it_answers_as_in_training(changes: dict[str, Any]) -> None:
    model, given = net(**changes), data()
    x, t, known = (given.pop(name) for name in ("x", "t", "known"))
    known = Known(known.x0, torch.ones_like(known.x0))
    whole = model(x, t, known=known, **given)
    for i, state in enumerate(stepped(model, known.x0, given)):
        column = model.denoiser(x[:, :, i : i + 1], t, state=state)
        torch.testing.assert_close(column, whole[:, :, i : i + 1], rtol=1e-4, atol=1e-5)


def test_its_procedure_warms_up_from_the_largest_lag() -> None:
    config = TimeGradConfig(**{**TINY, "cell": "lstm", "layers": 2, "lags": (1, 4)})
    assert config.procedure(spec_of()) == Rollout(state=2 * 2 * 6, warm_up=L - 4)
    assert procedure_of(config.build(spec_of(), False)) == config.procedure(spec_of())


def test_without_the_data_it_says_how_to_sample() -> None:
    given = data()
    del given["known"]
    with pytest.raises(DataError, match=r"only where the data are known.*procedure"):
        net()(**given)


def bundle_of(model: nn.Module, spec: DataSpec, config: TimeGradConfig) -> Bundle:
    graphs = graphs_of(spec, procedure_of(model), learned_variance=True)
    contents = {file: export_onnx(model, spec, opset=20, graph=graph) for file, graph in graphs.items()}
    return Bundle(
        spec=spec,
        schedule=Cosine("cosine", 50, 0.008, 0.999, False).build(),
        target="v",
        variance="learned",
        sample=asdict(tiny_sample_config("ancestral", 4)),
        golden=None,
        provenance={"model": asdict(config)},
        model=contents.pop(MODEL_FILE),
        procedure=procedure_of(model),
        others=contents,
    )


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param({"cell": "lstm", "layers": 2, "head": "conv"}, marks=pytest.mark.slow)],
)
def test_its_graphs_answer_as_it_does_and_make_the_same_samples(changes: dict[str, Any], tmp_path: Path) -> None:
    spec, config = spec_of(), TimeGradConfig(**{**TINY, **changes})
    model = net(spec, **changes)
    bundle = bundle_of(model, spec, config)
    bundle.write(tmp_path / "b")
    sampler = Sampler.open(tmp_path / "b", "cpu")
    assert sampler._encoder is not None
    for file, run in ((MODEL_FILE, sampler._net), (ENCODER_FILE, sampler._encoder)):
        graph = bundle.graphs[file]
        assert assert_parity(model, run, spec, top_time=50.0, tolerance=1e-4, graph=graph) < 1e-5
    given = data()
    cond = {name: given[name].numpy() for name in spec.conditions}
    cond["history"][cond["seen"] == 0] = np.nan
    seeds = list(range(B))
    for guidance in (0.0, 1.5):
        recipe = sampler.recipe(guidance=guidance)
        together = sampler.sample(recipe, seeds, cond)
        for size in (1, 2):
            np.testing.assert_array_equal(together, sampler.sample(recipe, seeds, cond, batch_size=size))
        by_torch = Sampler(bundle, "cpu", engine="torch").sample(recipe, seeds, cond)
        np.testing.assert_allclose(together, by_torch, rtol=1e-3, atol=1e-3)
