"""What each rule says beside its outcome: the value it took and the limit it held it against; and limits just met."""

from typing import Any

import pytest

from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.verdict import GateConfig, Limit, RuleResult, verdict

GATE = GateConfig("digits", 200, 3.0, 0.02, 0.25, 0.01, 0.125, 0.5, 1.0, (Limit("extra", 1.0, 2.0),))
METRICS = {
    "n": 900.0,
    "n_heldout": 800.0,
    **{f"fcd_{name}_{split}": 1.0 for split in ("train", "test") for name in ("ratio", "floor")},
    **{f"fcd_ratio_{split}_{end}": 1.0 for split in ("train", "test") for end in ("low", "high")},
    **{"accuracy_asked": 0.75, "accuracy_asked_low": 0.5, "accuracy_asked_high": 0.875, "accuracy_heldout": 0.5},
    **{f"{kind}_share": 0.25 for kind in ("near", "lone", "constant", "duplicate")},
    **{f"{kind}_share_heldout": 0.125 for kind in ("near", "lone", "constant", "duplicate")},
    **{"near_chance": 0.0, "lone_chance": 0.0, "golden_difference": 0.25, "extra": 1.5},
}
RECORD = {
    "conditions": {"distances": ["fcd"], "conditional": True, "classes": 10, "resampling": RESAMPLING},
    "provenance": {"bundle": "b" * 64},
}


def rule(name: str, **metrics: float) -> RuleResult:
    rules = verdict({**METRICS, **metrics}, RECORD, GATE).rules
    return next(rule for rule in rules if rule.rule == name)


@pytest.mark.parametrize(
    ("name", "metrics", "outcome", "value", "limit"),
    [
        ("images", {}, "pass", 800, 200),
        ("images", {"n": 200.0}, "pass", 200, 200),
        ("images", {"n": 199.0}, "not enough evidence", 199, 200),
        ("fcd to train", {"fcd_ratio_train": 2.0}, "pass", 2.0, 3.0),
        ("fcd to test", {"fcd_ratio_test_high": 3.0}, "pass", 1.0, 3.0),
        ("fcd to test", {"fcd_ratio_test_high": 3.1}, "not enough evidence", 1.0, 3.0),
        ("fcd to test", {"fcd_ratio_test_low": 3.1, "fcd_ratio_test_high": 3.2}, "fail", 1.0, 3.0),
        ("asked label", {}, "pass", 0.75, 0.48),
        ("asked label", {"accuracy_asked_low": 0.48}, "pass", 0.75, 0.48),
        ("asked label", {"accuracy_asked_low": 0.47}, "not enough evidence", 0.75, 0.48),
        ("asked label", {"accuracy_asked_low": 0.4, "accuracy_asked_high": 0.47}, "fail", 0.75, 0.48),
        # Mere chance is 1 in 10: a limit that only equals it says nothing.
        ("asked label", {"accuracy_heldout": 0.12}, "not enough evidence", 0.75, 0.1),
        ("near copies", {}, "pass", 0.25, 0.375),
        ("near copies", {"near_share": 0.375}, "pass", 0.375, 0.375),
        ("near copies", {"near_share": 0.5}, "fail", 0.5, 0.375),
        ("lone copies", {"lone_share": 0.5, "lone_chance": 0.01}, "pass", 0.5, 0.375),
        ("lone copies", {"lone_share": 0.5, "lone_chance": 0.009}, "fail", 0.5, 0.375),
        ("constant images", {}, "pass", 0.25, 0.25),
        ("duplicate images", {"duplicate_share": 0.375}, "fail", 0.375, 0.25),
        ("golden image", {"golden_difference": 0.5}, "pass", 0.5, 0.5),
        ("golden image", {"golden_difference": 0.75}, "fail", 0.75, 0.5),
        ("absolute extra", {"extra": 1.0}, "pass", 1.0, 2.0),
        ("absolute extra", {"extra": 2.0}, "pass", 2.0, 2.0),
        ("absolute extra", {"extra": 0.5}, "fail", 0.5, 1.0),
        ("absolute extra", {"extra": 2.5}, "fail", 2.5, 2.0),
    ],
)
def test_outcome_value_and_limit(name: str, metrics: dict[str, Any], outcome: str, value: float, limit: float) -> None:
    result = rule(name, **metrics)
    assert (result.outcome, result.value) == (outcome, value)
    assert result.limit == pytest.approx(limit)


def test_too_few_images_are_told_with_their_numbers_and_the_remedy() -> None:
    assert rule("images", n=7.0).text == (
        "7 samples beside 800 unseen real images; gate.min_images asks for 200 of each: raise evaluate.n or "
        "split.test_fraction"
    )


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_number_that_is_missing_is_never_a_pass(name: str) -> None:
    judged = verdict({key: value for key, value in METRICS.items() if key != name}, RECORD, GATE)
    assert not judged.passed
    assert any(rule.outcome == "not measured" and name in rule.text for rule in judged.rules)
