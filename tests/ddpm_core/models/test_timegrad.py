"""Laws of TimeGrad: what a step may depend on, one recurrent step as in training, its two graphs, its samples."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.errors import ParamsError
from ddpm_core.models.config import ModelConfig
from ddpm_core.models.timegrad_config import TimeGradConfig
from ddpm_core.objectives.batch import Known
from ddpm_core.spec import Condition, DataSpec
from pipelines.parsing import Faults, parse_value

K, L, H, F, B = 3, 9, 4, 2, 5
TINY: dict[str, Any] = {
    "kind": "timegrad",
    "cell": "gru",
    "layers": 1,
    "cells": 6,
    "lags": (1, 3),
    "head": "mlp",
    "width": 8,
    "blocks": 2,
    "dropout": 0.0,
}
T = torch.linspace(1, 50, B)


def spec_of(*, label: bool = True, calendar: bool = True) -> DataSpec:
    told = {"history": Condition((K, L), "float32", (), None), "seen": Condition((K, L), "float32", (), None)}
    if calendar:
        told["calendar"] = Condition((F, L + H), "float32", (), None)
        told["static"] = Condition((2,), "float32", (), None)
    if label:
        told["label"] = Condition.of_classes(("a", "b"))
    return DataSpec((K, H), None, None, told, kind="points", masked=True)


def net(spec: DataSpec | None = None, learned_variance: bool = True, **changes: Any) -> nn.Module:
    """A tiny network with random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    model = TimeGradConfig(**{**TINY, **changes}).build(spec or spec_of(), learned_variance)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def data(spec: DataSpec | None = None) -> dict[str, Any]:
    """x, what is known, and the conditions of B windows with values missing."""
    draw = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    cond: dict[str, Tensor] = {"history": normal(B, K, L), "seen": (normal(B, K, L) > -1).float()}
    cond |= {"calendar": normal(B, F, L + H), "label": torch.tensor([0, 1, 2, 1, 0]), "static": normal(B, 2)}
    conditions = (spec or spec_of()).conditions
    known = Known(normal(B, K, H), (normal(B, K, H) > -1).float())
    return {"x": normal(B, K, H), "t": T, "known": known, **{name: cond[name] for name in conditions}}


def changed(given: dict[str, Any], **new: Any) -> dict[str, Any]:
    return {**given, **new}


def same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other)


@pytest.mark.parametrize("head", ["mlp", "conv"])
@pytest.mark.parametrize("learned", [False, True])
def test_a_new_network_answers_zero_in_the_shape_of_the_data(head: Any, learned: bool) -> None:
    torch.manual_seed(0)
    model = TimeGradConfig(**{**TINY, "head": head}).build(spec_of(), learned)
    out = model(**data())
    assert tuple(out.shape) == (B, K * (2 if learned else 1), H)
    assert not out.any()
    for _ in range(3):  # nothing is learned behind a zero output before the first step
        (model(**data()) - 1).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * (0 if parameter.grad is None else parameter.grad)
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("changes", [{}, {"cell": "lstm", "layers": 2, "head": "conv"}])
def test_it_learns_in_bfloat16_and_answers_in_float32(changes: dict[str, Any]) -> None:
    model, given = net(**changes), data()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(**given)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, model(**given), rtol=0.1, atol=0.1)
    out.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


# ------------------------------------------------------------------------------------------- what a step depends on


@pytest.mark.parametrize("changes", [{}, {"cell": "lstm", "layers": 2, "head": "conv"}])
def test_a_step_depends_on_no_later_value_by_a_bit(changes: dict[str, Any]) -> None:
    model, given = net(**changes), data()
    before = model(**given)
    for i in range(H):
        x0, mask = given["known"].x0.clone(), given["known"].mask.clone()
        x0[:, :, i:] += 3.0
        mask[:, :, i:] = 1 - mask[:, :, i:]
        after = model(**changed(given, known=Known(x0, mask)))
        assert same(after[:, :, : i + 1], before[:, :, : i + 1])
        assert i == H - 1 or not same(after[:, :, i + 1], before[:, :, i + 1])


def test_a_step_s_own_noised_value_moves_that_step_alone() -> None:
    model, given = net(), data()
    before, x = model(**given), given["x"].clone()
    x[:, :, 2] += 1.0
    after = model(**changed(given, x=x))
    assert [same(after[:, :, i], before[:, :, i]) for i in range(H)] == [True, True, False, True]


@pytest.mark.parametrize("value", [7.0, float("nan"), float("inf")])
def test_a_value_that_is_not_there_changes_no_bit(value: float) -> None:
    model, given = net(), data()
    before = model(**given)
    history = torch.where(given["seen"] > 0, given["history"], torch.tensor(value))
    x0 = torch.where(given["known"].mask > 0, given["known"].x0, torch.tensor(value))
    assert (given["seen"] == 0).any()
    assert (given["known"].mask == 0).any()
    assert same(model(**changed(given, history=history, known=Known(x0, given["known"].mask))), before)


def test_whether_a_value_is_there_matters() -> None:
    model, given = net(), data()
    seen = given["seen"].clone()
    seen[0, 1, L - 1] = 1 - seen[0, 1, L - 1]
    history = given["history"] * given["seen"] * seen  # 0 there, with the flag and without
    one, other = (model(**changed(given, history=history, seen=flags)) for flags in (given["seen"], seen))
    assert not same(one[0], other[0])
    assert same(one[1:], other[1:])


@pytest.mark.parametrize(("lags", "moved"), [((1,), {L - 1}), ((2,), {L - 2, L - 1}), ((1, 4), {L - 4, L - 1})])
def test_each_lag_is_counted_from_the_step_that_is_made(lags: tuple[int, ...], moved: set[int]) -> None:
    """Without memory (the cells' own weights 0), the first step and, of lag 2, the second read these places alone."""
    model, given = net(lags=lags), data()
    with torch.no_grad():
        model.encoder.rnn[0].weight_hh_l0.zero_()
        model.encoder.rnn[0].weight_ih_l0[6:12] = 0  # z = sigmoid(bias)
        model.encoder.rnn[0].bias_ih_l0[6:12] = -1e4  # z = 0: nothing is kept
        model.encoder.rnn[0].bias_hh_l0[6:12] = 0
    steps = 2 if lags == (2,) else 1
    before = model(**given)[:, :, :steps]
    for place in range(L):
        history, seen = given["history"].clone(), given["seen"].clone()
        history[:, :, place] += 1.0
        seen[:, :, place] = 1.0
        after = model(**changed(given, history=history, seen=seen))[:, :, :steps]
        assert same(after, before) == (place not in moved)


@pytest.mark.parametrize("name", ["history", "calendar", "static", "label", "t"])
def test_every_condition_and_the_time_matter_to_their_own_datum_alone(name: str) -> None:
    model, given = net(), data()
    before, new = model(**given), given[name].clone()
    new[1] = new[1] + (1 if name in ("label", "t") else 1.0) * (-1 if name == "label" else 1)
    after = model(**changed(given, **{name: new}))
    assert [same(after[n], before[n]) for n in range(B)] == [True, False, True, True, True]


def test_the_calendar_of_a_step_is_its_own() -> None:
    model, given = net(), data()
    before, calendar = model(**given), given["calendar"].clone()
    calendar[:, :, L + 2] += 1.0
    after = model(**changed(given, calendar=calendar))
    assert [same(after[:, :, i], before[:, :, i]) for i in range(H)] == [True, True, False, False]


def test_no_label_is_the_null_label() -> None:
    model, given = net(), data()
    nothing = {name: value for name, value in given.items() if name != "label"}
    assert same(model(**nothing), model(**changed(given, label=torch.full((B,), 2))))


# ----------------------------------------------------------------------------------------------- sampling and graphs


# ------------------------------------------------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", 0),
        ("cells", 0),
        ("lags", ()),
        ("lags", (0, 1)),
        ("lags", (2, 1)),
        ("lags", (1, 1)),
        ("width", 3),
        ("blocks", 0),
        ("dropout", 1.0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=rf"{key}: must be "):
        TimeGradConfig(**{**TINY, key: value})


def test_params_yaml_chooses_it_by_kind() -> None:
    faults = Faults()
    told = {**TINY, "lags": [1, 3]}
    assert parse_value(ModelConfig, told, "model", faults) == TimeGradConfig(**TINY)


def test_data_that_it_cannot_take_are_refused() -> None:
    config, spec = TimeGradConfig(**TINY), spec_of()
    config.check(spec)
    without = spec.told([name for name in spec.conditions if name != "seen"])
    for wrong in (without, DataSpec((1, 8, 8), (-1.0, 1.0), 256, {})):
        with pytest.raises(ParamsError, match="takes series"):
            config.check(wrong)
    with pytest.raises(ParamsError, match=r"model.lags: each must be below the history's 9 steps, got 9"):
        TimeGradConfig(**{**TINY, "lags": (1, L)}).check(spec)
    one = {"history": Condition((1, L), "float32", (), None), "seen": Condition((1, L), "float32", (), None)}
    with pytest.raises(ParamsError, match=r"model.head: conv needs 2 series"):
        TimeGradConfig(**{**TINY, "head": "conv"}).check(DataSpec((1, H), None, None, one))


def test_dropout_lies_between_layers_and_not_in_those_of_torch() -> None:
    """cuDNN's own dropout reads from the GPU after each seed, so that no step could be recorded."""
    told = data()
    for layers, drops in ((1, False), (2, True)):
        model = net(layers=layers, dropout=0.5).train()
        assert {module.dropout for module in model.modules() if isinstance(module, nn.RNNBase)} == {0.0}
        hidden = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            hidden.append(model.encoder.over(told["known"].x0, torch.ones(B, K, H), *_conditions(told)))
        assert torch.equal(*hidden) != drops


def _conditions(told: dict[str, Any]) -> list[Any]:
    return [told[name] for name in ("history", "seen", "calendar", "static", "label")]
