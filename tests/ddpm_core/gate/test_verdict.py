"""The verdict: the order in which outcomes block, the controls, the words, the record that it needs."""

from dataclasses import replace

import pytest

from ddpm_core.errors import DataError
from ddpm_core.gate.verdict import verdict
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.metric import Metric, Rule
from tests.support.judged import FAR, GATE, GOOD, LIKE, NOISE, PATCHES, RECORD, energy, interval, of, with_, without


def test_a_good_model_passes_and_the_verdict_names_its_bundle():
    judged = verdict(GOOD, RECORD, GATE)
    assert judged.outcome == "pass"
    assert judged.passed
    assert judged.reasons == ()
    assert judged.bundle == "b" * 64


def test_fail_comes_before_not_measured_before_not_enough_evidence():
    bad, few = energy(0.3, 0.4), {"n": 199.0}
    absent = without("near_share")
    assert verdict({**GOOD, **few}, RECORD, GATE).outcome == "not enough evidence"
    assert verdict({**absent, **few}, RECORD, GATE).outcome == "not measured"
    assert verdict({**absent, **few, **{k: bad[k] for k in bad if "energy" in k}}, RECORD, GATE).outcome == "fail"


def test_without_labels_every_other_rule_still_holds():
    unlabelled = of(classes=0)
    metrics = without("accuracy_asked")
    assert verdict(metrics, unlabelled, GATE).passed
    metrics |= {f"energy_classifier{end}": 3.5 for end in ("", "_low", "_high")}
    assert verdict(metrics, unlabelled, GATE).outcome == "fail"


def test_both_judges_must_pass():
    two = of(judges=("classifier", "efficientnet_lite0"))
    other = {key.replace("classifier", "efficientnet_lite0"): value for key, value in LIKE.items()}
    control = {**NOISE, "metrics": {**FAR, **other}}
    both = {**two, "controls": {"noise": control}}
    assert verdict({**GOOD, **other}, both, GATE).passed
    far = {f"energy_efficientnet_lite0{end}": 0.6 for end in ("", "_low", "_high")}
    assert verdict({**GOOD, **other, **far}, both, GATE).outcome == "fail"


# ---- the controls


def test_a_gross_fault_that_would_pass_blocks_and_is_named():
    blind = {**RECORD, "controls": {"noise": {**NOISE, "metrics": {**FAR, **LIKE}}}}
    judged = verdict(GOOD, blind, GATE)
    rule = judged.rules[-1]
    assert (judged.outcome, rule.rule, rule.value) == ("not enough evidence", "controls", 1.0)
    assert "uniform noise" in rule.text
    assert verdict(GOOD, blind, replace(GATE, max_unseen_controls=1)).passed


def test_a_milder_fault_that_would_pass_is_said_and_does_not_block():
    judged = verdict(GOOD, {**RECORD, "controls": {"noise": NOISE, "patches": PATCHES}}, GATE)
    assert judged.passed
    assert judged.blind == "on these data the gate cannot see shuffled parts"
    assert judged.blind in judged.table()
    assert judged.to_dict()["blind"] == judged.blind
    assert [each.blocked_by for each in judged.controls] == [("energy in classifier",), ()]


def test_copies_are_refused_by_the_rules_about_copies():
    copies = {f"{kind}_{what}": value for kind in ("near", "lone") for what, value in
              (("share", 1.0), ("share_heldout", 0.0), ("chance", 0.0))}  # fmt: skip
    control = {"words": "training pictures", "gross": True, "metrics": {**FAR, **LIKE, **copies}}
    judged = verdict(GOOD, {**RECORD, "controls": {"copies": control}}, GATE)
    assert judged.controls[0].blocked_by == ("near copies", "lone copies")


def test_a_record_without_controls_is_not_a_pass():
    judged = verdict(GOOD, {key: value for key, value in RECORD.items() if key != "controls"}, GATE)
    assert judged.outcome == "not measured"


def test_a_relative_limit_counts_only_where_the_controls_exceed_it():
    gate = replace(GATE, max_distance_ratio=3.0)
    far = with_(fcd_ratio_test=4.0, fcd_ratio_test_low=3.5, fcd_ratio_test_high=4.5)
    assert verdict(far, RECORD, gate).outcome == "fail"
    weak = {**RECORD, "controls": {"noise": {**NOISE, "metrics": {**FAR, "fcd_ratio_test": 2.9}}}}
    judged = verdict(far, weak, gate)
    rule = next(rule for rule in judged.rules if rule.rule == "fcd to test")
    assert (judged.passed, rule.outcome) == (True, "not applicable")
    assert "uniform noise" in rule.text


# ---- the words


def test_the_headline_says_yes_partly_or_no_and_why():
    assert verdict(GOOD, RECORD, GATE).headline.startswith("looks like the data: yes, because")
    partly = verdict(interval("lost_classifier", 0.3, 0.4), RECORD, GATE)
    assert (partly.looks, "lost regions in classifier" in partly.because) == ("partly", True)
    no = verdict(energy(0.6, 0.7), RECORD, GATE)
    assert (no.looks, "1.5 real examples" in no.because) == ("no", True)
    # Too few samples say nothing of the samples themselves.
    assert verdict(with_(n=150.0), RECORD, GATE).looks == "yes"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"conditions": {}, "provenance": {"bundle": "b"}},
        {"conditions": None, "provenance": None},
        {**RECORD, "provenance": {"bundle": ""}},
        {**RECORD, "metrics": []},
        {**RECORD, "metrics": None},
        {**RECORD, "metrics": [{"name": "n", "meaning": "samples"}]},
        {**RECORD, "metrics": [{"name": "n", "meaning": "samples", "rule": {"kind": "absolute"}}]},
        {**RECORD, "conditions": {"settings": {}}},
    ],
)
def test_a_record_that_leaves_open_which_rules_apply_is_refused(record):
    with pytest.raises(DataError, match=r"must say conditions\.settings\.confidence.*metrics.*`ddpm evaluate`"):
        verdict(GOOD, record, GATE)


def test_a_metric_of_any_data_is_judged_by_the_rule_that_it_brings() -> None:
    """A forecast, say: no features, no labels, no controls."""
    rule = Rule("interval", "max_energy", "forecast", "a CRPS of {value:.3g}", says="the forecast scores {value:.2g}")
    record = {
        "conditions": {"settings": {"confidence": 0.95}, "resampling": RESAMPLING},
        "provenance": {"bundle": "b" * 64},
        "metrics": [Metric("crps", "mean score of the forecasts", "lower", rule=rule).described()],
    }
    counts = {"n": 300.0, "n_heldout": 300.0}
    good = verdict({**counts, "crps": 0.05, "crps_low": 0.04, "crps_high": 0.06}, record, GATE)
    assert (good.outcome, good.headline) == (
        "pass", "looks like the data: yes, because the forecast scores 0.05, and no rule finds a fault"
    )  # fmt: skip
    assert [(rule.rule, rule.outcome) for rule in good.rules] == [
        ("samples", "pass"), ("forecast", "pass"), ("controls", "not applicable"),
    ]  # fmt: skip
    bad = verdict({**counts, "crps": 0.3, "crps_low": 0.25, "crps_high": 0.35}, record, GATE)
    assert (bad.outcome, bad.looks, bad.rules[1].text) == ("fail", "no", "a CRPS of 0.3; allowed 0.1")
    assert verdict(counts, record, GATE).outcome == "not measured"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": "max_forecast"}, "a number of section gate, got 'max_forecast'"),
        ({"kind": "best"}, "of a kind that the gate has, got 'best'"),
    ],
)
def test_a_rule_that_the_gate_does_not_have_is_refused(change: dict[str, str], message: str) -> None:
    rule = {"kind": "absolute", "limit": "max_energy", "title": "a", "words": "b", **change}
    record = {**RECORD, "metrics": [{"name": "fcd_train", "meaning": "c", "rule": rule}]}
    with pytest.raises(DataError, match=message):
        verdict(GOOD, record, GATE)


def test_the_table_has_a_line_a_rule_and_the_outcome():
    lines = verdict(energy(0.4, 0.6), RECORD, GATE).table().splitlines()
    assert lines[0].split()[:4] == ["rule", "measured", "limit", "outcome"]
    assert any(line.startswith("energy in classifier") and "fail" in line for line in lines)
    assert lines[-1] == "verdict: FAIL"


def test_the_smallest_difference_that_is_told_stands_under_the_table():
    tells = {"energy_classifier_detectable": 0.0125, "accuracy_asked_detectable": 0.012}
    judged = verdict({**GOOD, **tells}, RECORD, GATE)
    assert judged.tells.startswith("1000 samples tell two models apart in 8 of 10 draws")
    assert judged.tells.endswith("e in classifier by 0.0125, asked label by 1.20%")
    assert judged.tells in judged.table()
    assert judged.to_dict()["tells"] == judged.tells
    assert verdict(GOOD, RECORD, GATE).tells == ""


def test_a_verdict_as_plain_data_holds_all_of_it():
    plain = verdict(GOOD, RECORD, GATE).to_dict()
    assert (plain["outcome"], plain["bundle"]) == ("pass", "b" * 64)
    assert plain["rules"][0] == {
        "rule": "samples",
        "outcome": "pass",
        "value": 1000.0,
        "limit": 200,
        "text": "1000 samples and 1000 unseen examples",
    }
