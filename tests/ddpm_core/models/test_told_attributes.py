"""Attributes beside the label: what networks are told by name, how training drops it, what previews ask for."""

from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.errors import ParamsError
from ddpm_core.models.config import MLPConfig, UNetConfig
from ddpm_core.models.transformer_config import TransformerConfig
from ddpm_core.objectives.batch import WHOLE, LabelDropout, Share
from ddpm_core.spec import attributes_in, conditions_of, in_turn, labelled, labels_in

SPEC = labelled((3, 8, 12), (-1.0, 1.0), 256, ("cat", "dog"), {"colour": ("red", "green", "blue"), "type": ("a", "b")})
PLAIN = labelled((3, 8, 12), (-1.0, 1.0), 256, ("cat", "dog"))
UNET = UNetConfig("unet", 2, 8, (1, 1), 1, (), 1, 2, 0.0, True, False, 0)
NETWORKS = {"unet": UNET, "transformer": TransformerConfig("transformer", 4, 16, 1, 2, 2, 0.0, 0)}


def built(config: Any, spec: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    net = config.build(spec, False)
    torch.manual_seed(1)
    for parameter in net.parameters():  # outputs start at zero
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(2, 3, 8, 12), torch.tensor([10.0, 500.0]), torch.tensor([0, 1])


@pytest.mark.parametrize("name", NETWORKS)
def test_each_attribute_counts_and_what_is_not_told_is_the_null_class(name: str) -> None:
    net, (x, t, label) = built(NETWORKS[name], SPEC), inputs()
    colour, kind = torch.tensor([2, 0]), torch.tensor([1, 1])
    told = net(x, t, label, colour=colour, type=kind)
    assert told.shape == x.shape
    assert not torch.equal(told, net(x, t, label, colour=torch.tensor([1, 1]), type=kind))
    assert not torch.equal(told, net(x, t, label, colour=colour))
    untold = net(x, t, label, colour=torch.full_like(colour, 3), type=torch.full_like(kind, 2))
    assert torch.equal(untold, net(x, t, label))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_without_attributes_has_the_weights_and_answers_that_it_had(name: str) -> None:
    net, (x, t, label) = built(NETWORKS[name], PLAIN), inputs()
    assert not [key for key in net.state_dict() if "attributes" in key]
    torch.manual_seed(0)
    with_some = NETWORKS[name].build(SPEC, False).state_dict()
    torch.manual_seed(0)
    without = NETWORKS[name].build(PLAIN, False).state_dict()
    for key in ("time.0.weight", "time.2.weight", "label.weight"):  # drawn before any attribute's
        assert torch.equal(with_some[key], without[key])
    with pytest.raises(ParamsError, match="this network is told no attribute, got colour"):
        net(x, t, label, colour=label)


def test_a_network_for_labels_alone_refuses_attributes_by_name() -> None:
    with pytest.raises(ParamsError, match=r"mlp is told classes, as the condition `label`, or nothing; got \['colour'"):
        MLPConfig("mlp", 8, 1, 0.0).check(SPEC)


# ---------------------------------------------------------------------------------------------- dropout of conditions

N = 4000
COND = {"label": torch.zeros(N, dtype=torch.int64), "colour": torch.zeros(N, dtype=torch.int64)}


def dropped(null: dict[str, int | float], share: Share = WHOLE, **cond: torch.Tensor) -> dict[str, np.ndarray]:
    kept = LabelDropout(null, 0.2).of(cond or COND, 7, 3, share)
    return {name: (kept[name] == null[name]).numpy() for name in null}


def test_all_are_dropped_at_once_and_each_alone_as_often() -> None:
    found = dropped({"label": 2, "colour": 3})
    both = found["label"] & found["colour"]
    # Joint with 0.2; else each alone with 0.2: both 0.2 + 0.8 x 0.04, one of them 0.2 + 0.8 x 0.2.
    for share, expected in ((both.mean(), 0.232), (found["label"].mean(), 0.36), (found["colour"].mean(), 0.36)):
        assert abs(share - expected) < 4 * (expected * (1 - expected) / N) ** 0.5


def test_a_single_condition_is_dropped_as_it_always_was() -> None:
    from ddpm_core.diffusion.noise import Purpose, generator

    alone = dropped({"label": 2}, label=COND["label"])["label"]
    assert (alone == (generator(7, Purpose.LABEL_DROPOUT, 3).random(N) < 0.2)).all()


def test_dropout_is_the_same_whatever_share_a_process_has() -> None:
    whole = dropped({"label": 2, "colour": 3})
    half = {name: value[: N // 2] for name, value in COND.items()}
    parts = [dropped({"label": 2, "colour": 3}, Share(number, 2), **half) for number in (0, 1)]
    for name in whole:
        assert (np.concatenate([part[name] for part in parts]) == whole[name]).all()


# ------------------------------------------------------------------------------------------------------------- spec


def test_each_combination_comes_in_turn_the_label_first() -> None:
    told = in_turn(SPEC, 12)
    rows = list(zip(told["label"], told["colour"], told["type"], strict=True))
    assert rows[:3] == [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert len(set(rows)) == 12
    assert {name: values.tolist() for name, values in in_turn(PLAIN, 5).items()} == {"label": [0, 1, 0, 1, 0]}


def test_conditions_come_back_as_labels_and_attributes() -> None:
    labels, colours = np.array([0, -1, 1]), np.array([-1, 2, 0])
    cond = conditions_of(SPEC, labels, {"colour": colours})
    assert cond["label"].tolist() == [0, 2, 1]
    assert cond["colour"].tolist() == [3, 2, 0]
    assert cond["type"].tolist() == [2, 2, 2]
    assert labels_in(SPEC, cond, 3).tolist() == labels.tolist()
    assert {name: values.tolist() for name, values in attributes_in(SPEC, cond).items()} == {
        "colour": [-1, 2, 0], "type": [-1, -1, -1]
    }  # fmt: skip
