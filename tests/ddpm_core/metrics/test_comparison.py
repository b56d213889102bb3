"""Two measurements beside each other: what may differ, what must not, and the four outcomes of a champion's rule."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.comparison import compare
from ddpm_core.metrics.intervals import Replicates
from ddpm_core.metrics.measurement import Measurement, encoded, refuse_unless_alike
from tests.support.tracked import GATE, GOOD

NAMES = ("fcd_ratio_train", "fcd_ratio_test", "accuracy_asked")


def replicates(seed: int, spread: float) -> Replicates:
    noise = np.random.default_rng(seed).standard_normal(200)
    return Replicates(spread * (noise - noise.mean()) / noise.std(ddof=1), np.zeros(200))


def measured(
    metrics: dict[str, float] | None = None, seed: int = 0, spread: float = 0.1, **conditions: Any
) -> Measurement:
    spreads = {"fcd_ratio_train": spread, "fcd_ratio_test": spread, "accuracy_asked": spread / 20}
    return Measurement(
        {**GOOD, **(metrics or {})},
        {
            "conditions": {"distances": ["fcd"], "n": 100, "settings": {"confidence": 0.95, "seed": 0}, **conditions},
            "provenance": {"bundle": f"b{seed}"},
            "replicates": encoded({name: replicates(seed, of) for name, of in spreads.items()}),
        },
    )


def outcomes(challenger: Measurement, champion: Measurement, gate: Any = GATE) -> dict[str, str]:
    return {rule.rule.removeprefix("champion: "): rule.outcome for rule in compare(challenger, champion, gate)}


@pytest.mark.parametrize(
    ("metrics", "rule", "outcome"),
    [
        ({}, "fcd to train", "pass"),
        ({"fcd_ratio_train": 2.2}, "fcd to train", "pass"),  # 0.7 worse, give or take 0.28, of the 1.0 allowed
        ({"fcd_ratio_train": 2.4}, "fcd to train", "not enough evidence"),
        ({"fcd_ratio_train": 2.6}, "fcd to train", "not enough evidence"),
        ({"fcd_ratio_train": 2.9}, "fcd to train", "fail"),
        ({"fcd_ratio_test": 2.9}, "fcd to test", "fail"),
        ({"accuracy_asked": 0.99}, "asked label", "pass"),
        ({"accuracy_asked": 0.975}, "asked label", "not enough evidence"),
        ({"accuracy_asked": 0.95}, "asked label", "fail"),
    ],
)
def test_a_rule_passes_where_the_whole_interval_of_the_loss_is_allowed(metrics, rule, outcome):
    found = outcomes(measured(metrics, seed=1), measured())
    assert found.pop(rule) == outcome
    assert set(found.values()) == {"pass"}


def test_a_better_challenger_passes_however_much_better():
    assert set(outcomes(measured({"fcd_ratio_train": 0.1, "accuracy_asked": 1.0}, seed=1), measured()).values()) == {
        "pass"
    }


def test_what_both_have_in_common_falls_out_of_the_difference():
    alone = measured({"fcd_ratio_train": 2.4}, seed=1, spread=5.0)
    paired = measured({"fcd_ratio_train": 2.4}, seed=0, spread=5.0)
    assert outcomes(alone, measured(spread=5.0))["fcd to train"] == "not enough evidence"
    assert outcomes(paired, measured(spread=5.0))["fcd to train"] == "pass"


def test_the_words_give_both_numbers_the_interval_and_what_is_allowed():
    rule = compare(measured({"fcd_ratio_train": 2.5}), measured(), GATE)[0]
    assert rule.text == "2.5 x the floor, the champion 1.5 x the floor; worse by 1 to 1, allowed 1"
    assert (rule.rule, rule.value, rule.limit) == ("champion: fcd to train", 1.0, 1.0)


def test_the_loss_that_is_allowed_is_a_parameter():
    strict = dataclasses.replace(GATE, max_champion_loss=0.1)
    assert outcomes(measured({"fcd_ratio_train": 1.7}), measured(), strict)["fcd to train"] == "fail"
    without = dataclasses.replace(GATE, max_accuracy_loss=None)
    assert "asked label" not in outcomes(measured({"accuracy_asked": 0.5}), measured(), without)


@pytest.mark.parametrize("name", NAMES)
def test_a_number_or_spread_that_one_of_the_two_lacks_is_not_measured(name):
    bare = {**measured().record, "replicates": {}}
    (first, *_) = compare(Measurement(GOOD, bare), measured(), GATE)
    assert first.outcome == "not measured"
    assert first.text == "of the challenger there is no fcd_ratio_train, or the record has no replicates of it"
    lacking = Measurement({key: value for key, value in GOOD.items() if key != name}, measured().record)
    assert "not measured" in outcomes(lacking, measured()).values()
    with pytest.raises(DataError, match=f"must hold the replicates of {name} to compare two models"):
        Measurement(GOOD, bare).difference(name, measured())


def test_unequal_conditions_are_refused_by_name_with_both_values():
    one = measured(data="a" * 64)
    other = measured(data="b" * 64, settings={"confidence": 0.95, "seed": 1}, extra=1)
    assert one.differs_from(other) == {
        "data": ("a" * 37 + "...", "b" * 37 + "..."), "extra": ("absent", "1"), "settings.seed": ("0", "1"),
    }  # fmt: skip
    with pytest.raises(
        DataError, match=r"equal conditions to be compared(.|\n)*extra: absent against 1\n  settings.seed: 0 aga"
    ):
        refuse_unless_alike(one, other)


def test_what_the_model_brings_may_differ():
    refuse_unless_alike(measured(sampler={"steps": 15}), measured(sampler={"steps": 4}, guidance={"weight": 1}))


def test_replicates_travel_through_the_record():
    back = measured(seed=3).replicates("fcd_ratio_train")
    assert back is not None
    np.testing.assert_allclose(back.linear, replicates(3, 0.1).linear, rtol=1e-6)
    assert measured().replicates("none") is None
