"""Laws of the multilayer perceptron: shapes, what it starts from, what it may depend on, its export."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.config import ModelConfig
from ddpm_core.models.mlp import MLPConfig
from ddpm_core.spec import Condition, DataSpec, labelled
from pipelines.parsing import Faults, parse_value

TINY: dict[str, Any] = {"kind": "mlp", "width": 16, "blocks": 2, "dropout": 0.0}
T = torch.tensor([1.0, 500.0, 1000.0])
LABELS = torch.tensor([0, 1, 3])


def spec_of(shape: tuple[int, ...] = (2,), classes: int = 3) -> DataSpec:
    return labelled(shape, None, None, tuple(str(i) for i in range(classes)))


def net(shape: tuple[int, ...] = (2,), classes: int = 3, learned_variance: bool = False, **changes: Any) -> nn.Module:
    """A tiny network with random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    model = MLPConfig(**{**TINY, **changes}).build(spec_of(shape, classes), learned_variance)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def data(shape: tuple[int, ...] = (2,)) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(2,), (1,), (3, 4), (1, 2, 5)])
@pytest.mark.parametrize("learned", [False, True])
def test_the_output_has_the_shape_of_the_data_or_twice_its_channels(shape: tuple[int, ...], learned: bool) -> None:
    out = net(shape, learned_variance=learned)(data(shape), T, LABELS)
    assert tuple(out.shape) == (3, shape[0] * (2 if learned else 1), *shape[1:])


def test_the_number_of_parameters_is_that_of_its_layers() -> None:
    """Time 2, each block 3 and 1 norm, stem and out, 1 norm, a row a class and the null row."""
    w, linear, norm = 16, 16 * 16 + 16, 2 * 16
    wanted = 2 * linear + 2 * (3 * linear + norm) + (2 * w + w) + norm + (w * 2 + 2) + 4 * w
    assert sum(p.numel() for p in net().parameters()) == wanted


@pytest.mark.parametrize("learned", [False, True])
def test_a_new_network_answers_zero_and_every_parameter_learns(learned: bool) -> None:
    fresh = MLPConfig(**TINY).build(spec_of(), learned)
    assert not fresh(data(), T, LABELS).any()
    model = net(learned_variance=learned).train()
    model(data(), T, LABELS).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_each_input_changes_the_answer_and_no_label_is_the_null_label() -> None:
    model, x = net(), data()
    base = model(x, T, LABELS)
    for other in ((x + 0.1, T, LABELS), (x, T + 1, LABELS), (x, T, (LABELS + 1) % 4)):
        assert ((model(*other) - base).abs() > 1e-5).any(dim=1).all()
    torch.testing.assert_close(model(x, T), model(x, T, torch.full((3,), 3)), rtol=0, atol=0)


def test_a_datum_does_not_see_its_neighbours_in_the_batch() -> None:
    model, x = net(), data()
    torch.testing.assert_close(model(x[1:2], T[1:2], LABELS[1:2]), model(x, T, LABELS)[1:2])


def test_the_answer_is_float32_under_bfloat16_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net()(data(), T, LABELS).dtype == torch.float32


def test_dropout_is_off_when_judged_and_on_in_training() -> None:
    model, x = net(dropout=0.5), data()
    assert torch.equal(model(x, T, LABELS), model(x, T, LABELS))
    assert not torch.equal(model.train()(x, T, LABELS), model(x, T, LABELS))


def test_the_same_seed_gives_the_same_weights_and_a_copy_is_equal() -> None:
    mine, its = net().state_dict(), net().state_dict()
    assert all(torch.equal(mine[name], its[name]) for name in mine)
    copy = deepcopy(net())
    assert torch.equal(copy(data(), T, LABELS), net()(data(), T, LABELS))


def test_the_classes_rows_are_where_fine_tuning_looks_for_them() -> None:
    assert net().state_dict()["label.weight"].shape == (4, 16)
    assert "label.weight" not in net(classes=0).state_dict()


def test_what_it_cannot_take_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(2,\), got \(3,\)"):
        net()(torch.zeros(3, 3), T, LABELS)
    with pytest.raises(ParamsError, match="without classes"):
        net(classes=0)(data(), T, LABELS)
    for name, condition in (
        ("history", Condition((2,), "float32", (), None)),
        ("label", Condition((), "float32", (), 0)),
    ):
        with pytest.raises(ParamsError, match=rf"mlp is told classes.*{name}"):
            MLPConfig(**TINY).build(DataSpec((2,), None, None, {name: condition}), False)


@pytest.mark.parametrize(
    ("key", "value"), [("width", 3), ("width", 2), ("width", 5), ("blocks", 0), ("dropout", 1.0), ("dropout", -0.1)]
)
def test_a_value_out_of_range_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=rf"{key}: must be .*, got {value}"):
        MLPConfig(**{**TINY, key: value})


def test_params_yaml_chooses_it_by_kind_without_torch() -> None:
    faults = Faults()
    assert parse_value(ModelConfig, TINY, "model", faults) == MLPConfig(**TINY)
    assert asdict(MLPConfig(**TINY)) == TINY
    code = "import sys; sys.modules['torch'] = None; import ddpm_core.models.mlp as m; print(m.MLPConfig.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MLPConfig"


@pytest.mark.parametrize(("shape", "classes", "learned"), [((2,), 3, False), ((3, 4), 0, True)])
def test_its_graph_answers_as_it_does_at_any_batch(shape: tuple[int, ...], classes: int, learned: bool) -> None:
    spec, model = spec_of(shape, classes), net(shape, classes, learned)
    graph = export_onnx(model, spec, opset=20)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(x: Any, t: Any, cond: Any) -> Any:
        return np.asarray(session.run(None, {"x": x, "t": t, **cond})[0])

    assert assert_parity(model, run, spec, top_time=1000.0, tolerance=1e-4) < 1e-5
