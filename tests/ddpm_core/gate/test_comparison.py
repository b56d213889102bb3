"""Two measurements beside each other: what may differ, what must not, and the four outcomes of a champion's rule."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.gate.comparison import compare
from ddpm_core.metrics.intervals import Replicates
from ddpm_core.metrics.measurement import Measurement, encoded, refuse_unless_alike
from tests.support.described import described
from tests.support.tracked import GATE, GOOD

NAMES = ("energy_classifier", "energy_efficientnet_lite0", "accuracy_asked")
JUDGES = ("classifier", "efficientnet_lite0")
BOTH = {**GOOD, "energy_efficientnet_lite0": 0.06}


def replicates(seed: int, spread: float) -> Replicates:
    noise = np.random.default_rng(seed).standard_normal(200)
    return Replicates(spread * (noise - noise.mean()) / noise.std(ddof=1), np.zeros(200))


def measured(
    metrics: dict[str, float] | None = None, seed: int = 0, spread: float = 0.002, **conditions: Any
) -> Measurement:
    spreads = {"energy_classifier": spread, "energy_efficientnet_lite0": spread, "accuracy_asked": 0.005}
    return Measurement(
        {**BOTH, **(metrics or {})},
        {
            "conditions": {"n": 100, "settings": {"confidence": 0.95, "seed": 0}, **conditions},
            "provenance": {"bundle": f"b{seed}"},
            "metrics": described(JUDGES),
            "replicates": encoded({name: replicates(seed, of) for name, of in spreads.items()}),
        },
    )


def outcomes(challenger: Measurement, champion: Measurement, gate: Any = GATE) -> dict[str, str]:
    return {rule.rule.removeprefix("champion: "): rule.outcome for rule in compare(challenger, champion, gate)}


@pytest.mark.parametrize(
    ("metrics", "rule", "outcome"),
    [
        ({}, "energy in classifier", "pass"),
        # 0.014 worse, give or take 0.0055, of the 0.02 allowed
        ({"energy_classifier": 0.064}, "energy in classifier", "pass"),
        ({"energy_classifier": 0.068}, "energy in classifier", "not enough evidence"),
        ({"energy_classifier": 0.072}, "energy in classifier", "not enough evidence"),
        ({"energy_classifier": 0.078}, "energy in classifier", "fail"),
        ({"energy_efficientnet_lite0": 0.09}, "energy in efficientnet_lite0", "fail"),
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
    assert set(outcomes(measured({"energy_classifier": 0.0, "accuracy_asked": 1.0}, seed=1), measured()).values()) == {
        "pass"
    }


def test_what_both_have_in_common_falls_out_of_the_difference():
    alone = measured({"energy_classifier": 0.068}, seed=1, spread=0.1)
    paired = measured({"energy_classifier": 0.068}, seed=0, spread=0.1)
    assert outcomes(alone, measured(spread=0.1))["energy in classifier"] == "not enough evidence"
    assert outcomes(paired, measured(spread=0.1))["energy in classifier"] == "pass"


def test_the_words_give_both_numbers_the_interval_and_what_is_allowed():
    rule = compare(measured({"energy_classifier": 0.0625}), measured(), GATE)[0]
    assert rule.text == "0.0625, the champion 0.05; worse by 0.0125 to 0.0125, allowed 0.02"
    assert (rule.rule, rule.limit) == ("champion: energy in classifier", 0.02)
    assert rule.value == pytest.approx(0.0125)


def test_the_loss_that_is_allowed_is_a_parameter():
    strict = dataclasses.replace(GATE, max_champion_loss=0.001)
    assert outcomes(measured({"energy_classifier": 0.054}), measured(), strict)["energy in classifier"] == "fail"
    without = dataclasses.replace(GATE, max_accuracy_loss=None)
    assert "asked label" not in outcomes(measured({"accuracy_asked": 0.5}), measured(), without)


@pytest.mark.parametrize("name", NAMES)
def test_a_number_or_spread_that_one_of_the_two_lacks_is_not_measured(name):
    bare = {**measured().record, "replicates": {}}
    (first, *_) = compare(Measurement(BOTH, bare), measured(), GATE)
    assert first.outcome == "not measured"
    assert first.text == "the challenger has no energy_classifier, or its record has no replicates of it"
    lacking = Measurement({key: value for key, value in BOTH.items() if key != name}, measured().record)
    assert "not measured" in outcomes(lacking, measured()).values()
    with pytest.raises(DataError, match=f"must hold the replicates of {name} to compare two models"):
        Measurement(BOTH, bare).difference(name, measured())


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


def test_models_held_by_other_metrics_are_not_measured_alike() -> None:
    one = measured()
    other = Measurement(one.metrics, {**one.record, "metrics": described(("classifier",))})
    (name,) = one.differs_from(other)
    assert "metrics" in name


def test_a_champion_that_takes_no_label_is_not_held_by_labels() -> None:
    champion = Measurement(measured().metrics, {**measured().record, "metrics": described(JUDGES, classes=0)})
    assert set(outcomes(measured(), champion)) == {f"energy in {judge}" for judge in JUDGES}


def test_replicates_travel_through_the_record():
    back = measured(seed=3).replicates("energy_classifier")
    assert back is not None
    np.testing.assert_allclose(back.linear, replicates(3, 0.002).linear, rtol=1e-6)
    assert measured().replicates("none") is None
