"""Laws of CSDI and of its S4D layer: what it takes, the closed forms of its parts, its export."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.bundle.graph_weights import weights_in
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.csdi import CSDIConfig
from ddpm_core.models.csdi_network import Nearness, attended_over_columns, attended_over_time
from ddpm_core.models.s4d import S4D
from ddpm_core.spec import Condition, DataSpec

K, W, F = 3, 6, 2
LAYERS = ("attention", "s4d")
TINY: dict[str, Any] = {
    "kind": "csdi",
    "time_layer": "attention",
    "channels": 8,
    "layers": 2,
    "heads": 2,
    "states": 3,
    "dropout": 0.0,
}


def spec_of(columns: int = K, features: int = F, classes: int = 2) -> DataSpec:
    conditions = {name: Condition((columns, W), "float32", (), None) for name in ("observed", "told")}
    if features:
        conditions["calendar"] = Condition((features, W), "float32", (), None)
        conditions["static"] = Condition((2,), "float32", (), None)
    if classes:
        conditions["label"] = Condition.of_classes(str(i) for i in range(classes))
    return DataSpec((columns, W), None, None, conditions, kind="series", masked=True)


def net(spec: DataSpec | None = None, learned_variance: bool = True, **changes: Any) -> nn.Module:
    """A tiny network with random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    model = CSDIConfig(**{**TINY, **changes}).build(spec or spec_of(), learned_variance)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def inputs(spec: DataSpec | None = None, batch: int = 4) -> dict[str, Tensor]:
    spec, random = spec or spec_of(), torch.Generator().manual_seed(1)
    given = {name: torch.randn(batch, *of.shape, generator=random) for name, of in spec.conditions.items()}
    given["told"] = torch.randint(-1, 2, (batch, *spec.shape), generator=random).float()
    if "label" in given:
        given["label"] = torch.arange(batch) % (len(spec.classes) + 1)
    return {"x": torch.randn(batch, *spec.shape, generator=random), "t": torch.arange(1.0, batch + 1), **given}


@pytest.mark.parametrize("time_layer", LAYERS)
@pytest.mark.parametrize(("columns", "features", "classes", "learned"), [(K, F, 2, True), (1, 0, 0, False)])
def test_shapes_and_what_a_new_network_answers(
    time_layer: str, columns: int, features: int, classes: int, learned: bool
) -> None:
    spec = spec_of(columns, features, classes)
    fresh = CSDIConfig(**TINY | {"time_layer": time_layer}).build(spec, learned)
    out = fresh(**inputs(spec))
    assert tuple(out.shape) == (4, columns * (2 if learned else 1), W)
    assert not out.any()
    model = net(spec, learned, time_layer=time_layer).train()
    model(**inputs(spec)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("time_layer", LAYERS)
def test_each_input_reaches_every_window_and_none_its_neighbours(time_layer: str) -> None:
    model, given = net(time_layer=time_layer), inputs()
    base = model(**given)
    for name in ("x", "t", "observed", "calendar", "static"):
        assert ((model(**given | {name: given[name] + 0.5}) - base).abs().amax((1, 2)) > 1e-5).all(), name
    for name, other in (("told", -given["told"]), ("label", (given["label"] + 1) % 3)):
        assert ((model(**given | {name: other}) - base).abs().amax((1, 2)) > 1e-5).all(), name
    alone = model(**{name: value[1:2] for name, value in given.items()})
    torch.testing.assert_close(alone, base[1:2])


@pytest.mark.parametrize("time_layer", LAYERS)
def test_a_value_reaches_every_column_and_every_step_of_past_and_future(time_layer: str) -> None:
    """One told value in the middle moves the answer everywhere; without column layers, in its own column."""
    model, given = net(time_layer=time_layer), inputs(batch=1)
    told = torch.zeros(1, K, W)
    told[0, 1, W // 2] = 1
    near, far = (model(**given | {"told": told, "observed": torch.full((1, K, W), value)}) for value in (0.0, 1.0))
    assert ((far - near).abs() > 1e-7).all()


def test_the_variance_of_a_value_stands_as_far_behind_its_mean_as_there_are_columns() -> None:
    """The last map gives mean and variance of each value; moved alone, each moves its own half."""
    model, given = net(), inputs()
    base = model(**given)
    with torch.no_grad():
        model.out.bias[1] += 1  # type: ignore[operator, union-attr]
    torch.testing.assert_close(model(**given)[:, :K], base[:, :K])
    torch.testing.assert_close(model(**given)[:, K:], base[:, K:] + 1)


@pytest.mark.parametrize("axis", [1, 2])
def test_attention_is_among_the_values_along_its_axis(axis: int) -> None:
    """softmax(q k / sqrt(d) + what is added) v for each head, by loops in float64."""
    heads, d = 2, 4
    added = torch.randn(heads, W, W, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    qkv = torch.randn(2, K, W, 3 * heads * d, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    q, k, v = qkv.view(2, K, W, 3, heads, d).unbind(3)
    want = torch.zeros(2, K, W, heads, d, dtype=torch.float64)
    for at in np.ndindex(2, K, W):
        line = (at[0], slice(None), at[2]) if axis == 1 else (at[0], at[1], slice(None))
        for head in range(heads):
            scores = k[line][:, head] @ q[at][head] / math.sqrt(d)
            weights = torch.softmax(scores + (added[head, at[2]] if axis == 2 else 0.0), dim=0)
            want[(*at, head)] = weights @ v[line][:, head]
    got = attended_over_columns(qkv, heads) if axis == 1 else attended_over_time(qkv, heads, added)
    torch.testing.assert_close(got, want.flatten(3))


def test_attention_looks_at_the_steps_beside_at_first_and_may_learn_any_other() -> None:
    nearness = Nearness(4, 4)
    torch.testing.assert_close(nearness()[0, 2], torch.tensor([-1.0, 0.0, -1.0, -2.0]))  # the step before
    torch.testing.assert_close(nearness()[1, 2], torch.tensor([-3.0, -2.0, -1.0, 0.0]))  # the step after
    torch.testing.assert_close(nearness()[2:], nearness()[:2] / 2)
    with torch.no_grad():
        nearness.of_distance.copy_(torch.arange(28.0) / nearness.quickness)
    torch.testing.assert_close(nearness()[1, 2], torch.tensor([12.0, 11.0, 10.0, 9.0]))


def _recurrence(layer: S4D, u: Any) -> Any:
    """The state space model held constant between steps, step by step in complex numbers: past, future and skip."""
    values = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    a = -np.exp(values["log_decay"]) + 1j * values["frequency"]
    step = np.exp(np.exp(values["log_dt"]) * a)
    out = values["skip"] * u
    for readout, order, behind in ((values["readout"][0], 1, 0), (values["readout"][1], -1, 1)):
        state, answers = np.zeros((u.shape[0], *a.shape), complex), []
        for value in u[:, ::order].transpose(1, 0, 2):
            before = state
            state = step * state + (step - 1) / a * value[..., None]
            answers.append(2 * ((readout[0] + 1j * readout[1]) * (before if behind else state)).sum(2).real)
        out = out + np.stack(answers, axis=1)[:, ::order]
    return out


@pytest.mark.parametrize("steps", [1, 2, 9, 64])
def test_s4d_is_its_recurrence_in_both_directions(steps: int) -> None:
    torch.manual_seed(0)
    layer = S4D(4, 5, steps).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    u = torch.randn(2, steps, 4, dtype=torch.float64)
    assert np.abs(layer(u).detach().numpy() - _recurrence(layer, u.numpy())).max() < 1e-12


def test_s4d_starts_as_s4d_lin_with_steps_from_the_window_to_a_few() -> None:
    layer = S4D(64, 4, 100)
    torch.testing.assert_close(layer.log_decay.exp(), torch.full((64, 4), 0.5))
    torch.testing.assert_close(layer.frequency[7], torch.tensor([0.0, 1.0, 2.0, 3.0]) * math.pi)
    assert 0.01 <= layer.log_dt.exp().min() < layer.log_dt.exp().max() <= 0.5


@pytest.mark.parametrize("time_layer", LAYERS)
def test_its_graph_answers_as_it_does_at_any_batch_and_holds_its_weights(time_layer: str) -> None:
    spec, model = spec_of(), net(time_layer=time_layer)
    graph = export_onnx(model, spec, opset=20)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(x: Any, t: Any, cond: Any) -> Any:
        return np.asarray(session.run(None, {"x": x, "t": t, **cond})[0])

    assert assert_parity(model, run, spec, top_time=1000.0, tolerance=1e-4) < 1e-5
    kept = weights_in(graph)
    assert kept is not None
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(kept[name], weight) for name, weight in model.state_dict().items())


def test_dropout_is_off_when_judged_and_on_in_training() -> None:
    for time_layer in LAYERS:
        model, given = net(time_layer=time_layer, dropout=0.5), inputs()
        assert torch.equal(model(**given), model(**given))
        assert not torch.equal(model.train()(**given), model(**given))


def test_the_answer_is_float32_under_bfloat16_autocast() -> None:
    for time_layer in LAYERS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert net(time_layer=time_layer)(**inputs()).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"observed": None}, "observed"),
        ({"told": Condition((K, W + 1), "float32", (), None)}, "told"),
        ({"calendar": Condition((W,), "float32", (), None)}, "calendar"),
        ({"static": Condition((2, W), "float32", (), None)}, "static"),
        ({"label": Condition((), "float32", (), 0)}, "label"),
        ({"history": Condition((K, W), "float32", (), None)}, "history"),
    ],
)
def test_conditions_that_it_cannot_be_told_are_refused(change: dict[str, Any], named: str) -> None:
    conditions = {name: of for name, of in {**spec_of().conditions, **change}.items() if of is not None}
    with pytest.raises(ParamsError, match=rf"csdi is told .*got another {named}"):
        net(DataSpec((K, W), None, None, conditions))


def test_other_data_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"windows of the shape \(columns, time steps\), got \(1, 8, 8\)"):
        net(DataSpec((1, 8, 8), None, None, {}))
    with pytest.raises(DataError, match=r"windows of shape \(3, 6\), got \(3, 5\)"):
        net()(**inputs() | {"x": torch.zeros(4, K, W - 1)})
    for name in ("calendar", "static"):
        with pytest.raises(DataError, match=f"with `{name}`, got none"):
            net()(**{each: value for each, value in inputs().items() if each != name})


@pytest.mark.parametrize(
    ("key", "value"), [("channels", 5), ("layers", 0), ("heads", 0), ("heads", 3), ("states", 0), ("dropout", 1.0)]
)
def test_a_value_out_of_range_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=rf"{key}: must .*, got {value}"):
        CSDIConfig(**{**TINY, key: value})


def test_its_parameters_are_read_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import ddpm_core.models.csdi as m; print(m.CSDIConfig.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "CSDIConfig"
