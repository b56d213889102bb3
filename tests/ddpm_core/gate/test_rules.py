"""Every outcome of every rule, with its value and limit."""

import re
from dataclasses import replace

import pytest

from ddpm_core.gate.config import Limit
from ddpm_core.gate.rules import number
from ddpm_core.gate.verdict import verdict
from tests.support.judged import GATE, GOOD, OLDER, RECORD, UNSAID, energy, interval, of, with_, without


@pytest.mark.parametrize(
    ("rule", "metrics", "record", "gate", "outcome", "text"),
    [
        ("samples", GOOD, RECORD, GATE, "pass", "1000 samples and 1000 unseen examples"),
        (
            "samples",
            with_(n=199),
            RECORD,
            GATE,
            "not enough evidence",
            "gate.min_samples asks for 200 of each: raise evaluate.n",
        ),
        (
            "samples",
            with_(n_heldout=60),
            RECORD,
            GATE,
            "not enough evidence",
            "200 of each: give more data, or raise split.test_fraction",
        ),
        ("samples", without("n"), RECORD, GATE, "not measured", "no n"),
        ("energy in classifier", energy(0.08, 0.1), RECORD, GATE, "pass", "allowed 0.1"),
        ("energy in classifier", energy(0.08, 0.1001, 0.09), RECORD, GATE, "not enough evidence", "samples.*enough"),
        ("energy in classifier", energy(0.1, 0.12), RECORD, GATE, "not enough evidence", "samples.*enough"),
        ("energy in classifier", energy(0.101, 0.12), RECORD, GATE, "fail", "allowed 0.1"),
        ("energy in classifier", energy(*[float("nan")] * 3), RECORD, GATE, "fail", "nan"),
        ("energy in classifier", GOOD, OLDER, GATE, "not measured", "'halves'.*`ddpm evaluate`"),
        ("lost regions in classifier", GOOD, UNSAID, GATE, "not measured", "None.*`ddpm evaluate`"),
        (
            "energy in classifier",
            without("energy_classifier_high"),
            RECORD,
            GATE,
            "not measured",
            "energy_classifier_h",
        ),
        ("energy in inception", GOOD, of(judges=("inception",)), GATE, "not measured", "energy_inception"),
        ("lost regions in classifier", interval("lost_classifier", 0.1, 0.2), RECORD, GATE, "pass", "15.0%"),
        ("lost regions in classifier", interval("lost_classifier", 0.1, 0.3), RECORD, GATE, "not enough evidence", ""),
        ("lost regions in classifier", interval("lost_classifier", 0.21, 0.3), RECORD, GATE, "fail", "allowed 0.2"),
        ("roughness", interval("rough_share", 0.1, 0.15), RECORD, GATE, "pass", "allowed 0.15"),
        ("roughness", interval("rough_share", 0.1, 0.16), RECORD, GATE, "not enough evidence", "enough"),
        ("roughness", interval("rough_share", 0.2, 0.3), RECORD, GATE, "fail", "25.0%"),
        ("roughness", without("rough_share_heldout"), RECORD, GATE, "not measured", "rough_share_heldout"),
        # Of 1,000 samples beside 1,000 unseen images the interval of a loss is about 1 % to each side.
        ("asked label", with_(accuracy_asked=0.985), RECORD, GATE, "pass", "0.50%.*allowed 2.00%"),
        ("asked label", with_(accuracy_asked=0.965), RECORD, GATE, "pass", "within twice the allowed"),
        ("asked label", with_(accuracy_asked=0.9608, accuracy_heldout=0.9825, n=586), RECORD, GATE, "pass", "twice"),
        ("asked label", with_(accuracy_asked=0.90, n=20), RECORD, GATE, "not enough evidence", "samples.*enough"),
        ("asked label", with_(accuracy_asked=0.95), RECORD, GATE, "fail", "4.00%"),
        ("asked label", without("accuracy_asked"), RECORD, GATE, "not measured", "metrics.json has no accuracy_asked"),
        (
            "asked label",
            with_(accuracy_heldout=0.11),
            RECORD,
            GATE,
            "not enough evidence",
            "guessing reaches .10.00%.: the classifier is too weak",
        ),
        ("asked label", GOOD, of(classes=0), GATE, "not applicable", "takes no label"),
        ("asked label", GOOD, of(classes=1), GATE, "not applicable", "there is but one"),
        (
            "asked label",
            GOOD,
            RECORD,
            replace(GATE, max_accuracy_loss=None),
            "not applicable",
            "gate.max_accuracy_loss is null",
        ),
        (
            "near copies",
            with_(near_share=0.13),
            RECORD,
            GATE,
            "pass",
            "nearer to a training example than 12.50% of unseen",
        ),
        (
            "near copies",
            with_(near_share=0.2, near_chance=1e-5),
            RECORD,
            GATE,
            "fail",
            "20.00% of the samples are nearer .* allowed 13.00%",
        ),
        (
            "near copies",
            with_(near_share=0.2, near_chance=0.25),
            RECORD,
            GATE,
            "pass",
            "in 25% of draws",
        ),
        ("near copies", without("near_chance"), RECORD, GATE, "not measured", "metrics.json has no near_chance"),
        (
            "lone copies",
            with_(lone_share=0.25, lone_chance=0.001),
            RECORD,
            GATE,
            "fail",
            "one training example far nearer than the next",
        ),
        (
            "constant images",
            with_(constant_share=0.01),
            RECORD,
            GATE,
            "fail",
            "1.00% of the samples, 0.00% of unseen real images",
        ),
        ("duplicate images", with_(duplicate_share=0.004), RECORD, GATE, "pass", "allowed 0.50%"),
        (
            "duplicate images",
            without("duplicate_share"),
            RECORD,
            GATE,
            "not measured",
            "metrics.json has no duplicate_share",
        ),
        (
            "golden sample",
            GOOD,
            RECORD,
            GATE,
            "pass",
            "differs by 0 from the export's, in the values as they are kept; allowed 0.1",
        ),
        ("golden sample", with_(golden_difference=0.4), RECORD, GATE, "fail", "differs by 0.4"),
        ("golden sample", without("golden_difference"), RECORD, GATE, "not measured", "has no golden_difference"),
        (
            "golden sample",
            without("golden_difference"),
            of(golden=False),
            GATE,
            "not applicable",
            "made without one",
        ),
        (
            "absolute fcd_train",
            GOOD,
            RECORD,
            replace(GATE, absolute=(Limit("fcd_train", None, 0.2),)),
            "fail",
            "must be at most 0.2",
        ),
        (
            "absolute cis",
            with_(cis=5),
            RECORD,
            replace(GATE, absolute=(Limit("cis", 6.0, None),)),
            "fail",
            "must be at least 6",
        ),
        (
            "absolute cis",
            with_(cis=7),
            RECORD,
            replace(GATE, absolute=(Limit("cis", 6.0, 8.0),)),
            "pass",
            "at least 6 and at most 8",
        ),
        (
            "absolute fid_train",
            GOOD,
            RECORD,
            replace(GATE, absolute=(Limit("fid_train", None, 9.0),)),
            "not measured",
            "no fid_train",
        ),
    ],
)
def test_each_rule_has_each_of_its_outcomes(rule, metrics, record, gate, outcome, text):
    judged = verdict(metrics, record, gate)
    found = next(result for result in judged.rules if result.rule == rule)
    assert found.outcome == outcome
    assert re.search(text, found.text), found.text
    blocks = outcome in ("fail", "not measured", "not enough evidence")
    assert judged.passed is not blocks
    assert any(rule in reason for reason in judged.reasons) is blocks


@pytest.mark.parametrize(
    ("rule", "metrics", "outcome", "value", "limit"),
    [
        ("samples", {"n": 200.0}, "pass", 200, 200),
        ("samples", {"n": 199.0}, "not enough evidence", 199, 200),
        ("energy in classifier", {}, "pass", 0.05, 0.1),
        ("lost regions in classifier", {}, "pass", 0.01, 0.2),
        ("roughness", {}, "pass", 0.03, 0.15),
        ("asked label", {}, "pass", 0.985, 0.97),
        # Mere chance is 1 in 10: a limit that only equals it says nothing.
        ("asked label", {"accuracy_heldout": 0.12}, "not enough evidence", 0.985, 0.1),
        # A loss of 4.5 % of 100 samples, give or take 4.5 %, is more than twice what is allowed.
        ("asked label", {"accuracy_asked": 0.945, "n": 100.0}, "not enough evidence", 0.945, 0.97),
        ("near copies", {"near_share": 0.13}, "pass", 0.13, 0.13),
        ("near copies", {"near_share": 0.2, "near_chance": 0.009}, "fail", 0.2, 0.13),
        ("lone copies", {"lone_share": 0.2, "lone_chance": 0.01}, "pass", 0.2, 0.13),
        ("constant images", {"constant_share": 0.005}, "pass", 0.005, 0.005),
        # 6 of 1,000 beside 0 of 1,000 come by chance in 1.5 % of draws, 8 in 0.4 %; 1 of 100 in half of them.
        ("duplicate images", {"duplicate_share": 0.006}, "pass", 0.006, 0.005),
        ("duplicate images", {"duplicate_share": 0.008}, "fail", 0.008, 0.005),
        ("constant images", {"constant_share": 0.01, "n": 100.0, "n_heldout": 100.0}, "pass", 0.01, 0.005),
        ("golden sample", {"golden_difference": 0.1}, "pass", 0.1, 0.1),
        ("golden sample", {"golden_difference": 0.2}, "fail", 0.2, 0.1),
        ("absolute fcd_train", {"fcd_train": 2.0}, "pass", 2.0, 2.0),
        ("absolute fcd_train", {"fcd_train": 0.1}, "fail", 0.1, 0.2),
        ("absolute fcd_train", {"fcd_train": 2.5}, "fail", 2.5, 2.0),
        ("controls", {}, "pass", 0, 0),
    ],
)
def test_each_rule_tells_its_value_and_limit(rule, metrics, outcome, value, limit):
    gate = replace(GATE, absolute=(Limit("fcd_train", 0.2, 2.0),))
    found = next(result for result in verdict(with_(**metrics), RECORD, gate).rules if result.rule == rule)
    assert (found.outcome, found.value) == (outcome, value)
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"fcd_train", "fcd_ratio_test", "fcd_ratio_test_low",
                                                       "fcd_ratio_test_high"}))  # fmt: skip
def test_a_number_that_is_missing_is_never_a_pass(name):
    judged = verdict(without(name), RECORD, GATE)
    assert not judged.passed
    assert any(rule.outcome == "not measured" and name in rule.text for rule in judged.rules)


def test_how_many_samples_would_be_enough_follows_the_root_of_n():
    # The interval reaches 0.02, the value lies 0.01 from the limit: twice as near needs four times as many.
    found = next(r for r in verdict(energy(0.07, 0.11, 0.09), RECORD, GATE).rules if r.rule.startswith("energy"))
    assert "about 4,400 samples" in found.text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (-0.0, "0"), (0.0, "0"), (-1.5e-20, "-1.5e-20"), (0.31814, "0.3181"), (-2.0, "-2")]
)
def test_numbers_read_as_people_write_them(value: float | None, text: str):
    assert number(value) == text
