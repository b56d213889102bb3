"""Conformance: what every network that is told a label or nothing must hold. A new one is a line in EXAMPLES."""

import dataclasses
import subprocess
import sys
from copy import deepcopy
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models import NetworkConfig
from ddpm_core.models.config import ModelConfig
from ddpm_core.models.imported_unet_config import ImportedUNetConfig
from ddpm_core.models.linear_attention_unet_config import LinearAttentionUNetConfig
from ddpm_core.models.mlp_config import MLPConfig
from ddpm_core.models.transformer_config import TransformerConfig
from ddpm_core.models.unet_config import UNetConfig
from ddpm_core.models.vae_config import VAEConfig
from ddpm_core.spec import Condition, DataSpec, labelled
from pipelines.parsing import Faults, parse_value
from tests.ddpm_core.models import test_hidden_values

EXAMPLES: list[tuple[NetworkConfig, tuple[int, ...]]] = [  # with the shape of a datum
    (UNetConfig("unet", 2, 8, (1,), 1, (), 2, 2, 0.0, True, False, 0), (2, 4, 6)),
    (
        ImportedUNetConfig(
            "imported_unet", (8, 12), 1, (1,), (1, 3), 4, 1e-6, 0, 0.0, True, (0,), "end", True, 0.0, 2.0
        ),
        (2, 4, 6),
    ),
    (
        LinearAttentionUNetConfig("linear_attention_unet", 8, 6, (1, 2), (1,), (2, 1), (4, 3), 2, 0.0),
        (2, 4, 6),
    ),
    (MLPConfig("mlp", 16, 2, 0.0), (3, 4)),
    (TransformerConfig("transformer", 2, 16, 2, 4, 2, 0.0, 0), (2, 6, 4)),
    (TransformerConfig("transformer", 2, 16, 2, 4, 2, 0.0, 8), (2, 6, 4)),
    (VAEConfig("vae", 5, 4, (1, 2), 1, 2, 0.0, "each"), (2, 8, 4)),
]
DENOISERS = [example for example in EXAMPLES if not example[0].is_autoencoder]
"""Those that see all of x_t and the time; what a decoder sees is in test_vae.py."""
every_network = pytest.mark.parametrize(("config", "shape"), EXAMPLES, ids=[type(c).__name__ for c, _ in EXAMPLES])
every_denoiser = pytest.mark.parametrize(("config", "shape"), DENOISERS, ids=[type(c).__name__ for c, _ in DENOISERS])
T, LABELS = torch.tensor([1.0, 500.0, 1000.0]), torch.tensor([0, 1, 3])


def spec_of(shape: tuple[int, ...], classes: int = 3) -> DataSpec:
    return labelled(shape, (-1.0, 1.0), 256, "abcdefg"[:classes])


def built(config: NetworkConfig, shape: tuple[int, ...], classes: int = 3, learned: bool = False) -> nn.Module:
    """Random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    net = config.build(spec_of(shape, classes), learned)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return net.eval()


def data(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


def test_every_network_is_held_by_a_suite() -> None:
    """This one, or test_hidden_values.py."""
    others = {type(example.config) for example in test_hidden_values.EXAMPLES.values()}
    assert {type(config) for config, _ in EXAMPLES} | others == set(get_args(ModelConfig))


@every_network
def test_its_keys_have_no_defaults_and_are_read_without_torch(config: Any, shape: tuple[int, ...]) -> None:
    assert all(field.default is dataclasses.MISSING for field in dataclasses.fields(config))
    faults, keys = Faults(), dataclasses.asdict(config)
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in keys.items()}
    assert parse_value(ModelConfig, lists, "model", faults) == config
    module, name = type(config).__module__, type(config).__name__
    code = f"import sys; sys.modules['torch'] = None; from {module} import {name}; print({name}(**{keys}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(config)


@every_denoiser
@pytest.mark.parametrize("learned", [False, True])
def test_a_new_network_answers_zero_in_the_shape_of_the_data_or_twice_its_channels(
    config: Any, shape: tuple[int, ...], learned: bool
) -> None:
    fresh = config.build(spec_of(shape), learned)
    assert torch.equal(fresh(data(shape), T, LABELS), torch.zeros(3, shape[0] * (2 if learned else 1), *shape[1:]))


@every_denoiser
def test_every_parameter_learns_in_each_precision(config: Any, shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        net = built(config, shape, learned=True).train()
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            net(data(shape), T, LABELS).square().sum().backward()
        assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_denoiser
def test_each_input_changes_the_answer_and_no_label_is_the_null_label(config: Any, shape: tuple[int, ...]) -> None:
    net, x = built(config, shape), data(shape)
    base = net(x, T, LABELS)
    for other in ((x + 0.1, T, LABELS), (x, T + 1, LABELS), (x, T, (LABELS + 1) % 4)):
        assert ((net(*other) - base).abs() > 1e-5).flatten(1).any(1).all()
    assert torch.equal(net(x, T), net(x, T, torch.full((3,), 3)))


@every_denoiser
def test_each_number_of_a_datum_changes_each_number_of_its_answer(config: Any, shape: tuple[int, ...]) -> None:
    net = built(config, shape)
    x = data(shape)[:1].requires_grad_()
    for number in net(x, T[:1], LABELS[:1]).flatten():
        (gradient,) = torch.autograd.grad(number, x, retain_graph=True)
        assert (gradient != 0).all()


@every_network
def test_a_datum_does_not_see_its_neighbours_in_the_batch(config: Any, shape: tuple[int, ...]) -> None:
    net, x = built(config, shape), data(shape)
    alone = torch.cat([net(x[i : i + 1], T[i : i + 1], LABELS[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(x, T, LABELS), alone, rtol=1e-5, atol=1e-5)


@every_network
def test_the_answer_is_float32_under_bfloat16_and_near_the_exact_one(config: Any, shape: tuple[int, ...]) -> None:
    net, x = built(config, shape), data(shape)
    exact = net(x, T, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x, T, LABELS)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.05 * exact.norm()


@every_network
def test_training_and_sampling_give_the_same_answer_but_for_dropout(config: Any, shape: tuple[int, ...]) -> None:
    net, x = built(config, shape), data(shape)
    base = net(x, T, LABELS)
    torch.testing.assert_close(net.train()(x, T, LABELS), base, rtol=1e-4, atol=1e-5)
    dropping = built(dataclasses.replace(config, dropout=0.5), shape)
    assert torch.equal(dropping(x, T, LABELS), base)
    assert not torch.equal(dropping.train()(x, T, LABELS), dropping(x, T, LABELS))


@every_network
def test_the_weights_are_a_function_of_torch_s_generator(config: Any, shape: tuple[int, ...]) -> None:
    mine, its, x = built(config, shape), built(config, shape), data(shape)
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), its.parameters(), strict=True))
    assert torch.equal(deepcopy(mine)(x, T, LABELS), its(x, T, LABELS))
    torch.manual_seed(0)
    first, second = (config.build(spec_of(shape), False) for _ in range(2))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@every_network
def test_the_classes_rows_are_where_fine_tuning_looks_for_them(config: Any, shape: tuple[int, ...]) -> None:
    assert len(built(config, shape).state_dict()["label.weight"]) == 4
    assert "label.weight" not in built(config, shape, classes=0).state_dict()


@every_network
def test_what_it_cannot_take_is_refused_by_key(config: Any, shape: tuple[int, ...]) -> None:
    other = (shape[0] + 1, *shape[1:])
    with pytest.raises(DataError) as of_shape:
        built(config, shape)(data(other), T, LABELS)
    assert str(shape) in str(of_shape.value)
    assert str(other) in str(of_shape.value)
    with pytest.raises(ParamsError, match="label"):
        built(config, shape, classes=0)(data(shape), T, LABELS)
    for name, of in (("history", Condition((2,), "float32", (), None)), ("label", Condition((), "float32", (), 0))):
        with pytest.raises(ParamsError, match=rf"model\.kind: {config.kind} .*{name}"):
            config.build(DataSpec(shape, None, None, {name: of}), False)


@every_network
def test_it_compiles_as_one_graph(config: Any, shape: tuple[int, ...]) -> None:
    net, x = built(config, shape).train(), data(shape)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, T, LABELS), net(x, T, LABELS), rtol=1e-4, atol=1e-5)


# An export takes seconds. Quick tests of a U-Net's are in bundle/test_export.py, of an autoencoder's in test_vae.py.
GRAPHS = [
    pytest.param(
        config,
        shape,
        classes,
        learned,
        id=f"{type(config).__name__}-{classes}",
        marks=() if classes and not isinstance(config, UNetConfig | VAEConfig) else pytest.mark.slow,
    )
    for config, shape in EXAMPLES
    for classes, learned in ((3, True), (0, False))
]


@pytest.mark.parametrize(("config", "shape", "classes", "learned"), GRAPHS)
def test_its_graph_answers_as_it_does_at_any_batch(
    config: Any, shape: tuple[int, ...], classes: int, learned: bool
) -> None:
    spec, net = spec_of(shape, classes), built(config, shape, classes, learned and not config.is_autoencoder)
    graph = export_onnx(config.exported(net), spec, opset=20)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(x: Any, t: Any, cond: Any) -> Any:
        return np.asarray(session.run(None, {"x": x, "t": t, **cond})[0])

    assert assert_parity(net, run, spec, top_time=1000.0, tolerance=1e-5) <= 1e-5
