"""Every outcome of every rule with its value and limit, the order in which outcomes block, the words, the controls."""

import re
from dataclasses import replace
from typing import Any

import pytest

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.gate.config import Limit, PictureGate, SeriesGate
from ddpm_core.gate.rules import RuleResult, number
from ddpm_core.gate.verdict import verdict
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.metric import Metric, Rule
from tests.support.described import described

GATE = PictureGate(
    model_name="digits",
    min_samples=200,
    max_energy=0.1,
    max_lost=0.2,
    max_rough=0.15,
    max_distance_ratio=None,
    max_accuracy_loss=0.02,
    max_copy_excess=0.005,
    copy_significance=0.01,
    max_broken_excess=0.005,
    max_golden_difference=0.1,
    max_unseen_controls=0,
    max_champion_loss=0.02,
    absolute=(),
)
ENDS = ("", "_low", "_high")
LIKE = {
    **{f"energy_classifier{end}": value for end, value in (("", 0.05), ("_low", 0.04), ("_high", 0.06))},
    **{f"lost_classifier{end}": value for end, value in (("", 0.01), ("_low", 0.0), ("_high", 0.02))},
    **{f"rough_share{end}": value for end, value in (("", 0.03), ("_low", 0.02), ("_high", 0.04), ("_heldout", 0.02))},
    **{f"{kind}_share{end}": 0.0 for kind in ("constant", "duplicate") for end in ("", "_heldout")},
}
GOOD = {
    "n": 1000.0,
    "n_heldout": 1000.0,
    "fcd_ratio_test": 1.2,
    "fcd_ratio_test_low": 1.0,
    "fcd_ratio_test_high": 2.0,
    "fcd_train": 0.3,
    **LIKE,
    "accuracy_asked": 0.985,
    "accuracy_heldout": 0.99,
    **{f"{kind}_share{end}": 0.125 for kind in ("near", "lone") for end in ("", "_heldout")},
    "near_chance": 0.7,
    "lone_chance": 1.0,
    "golden_difference": 0.0,
}
FAR = {**LIKE, "n": 250.0, "n_heldout": 1000.0, "energy_classifier": 2.0, "energy_classifier_low": 1.9,
       "energy_classifier_high": 2.1, "fcd_ratio_test": 50.0}  # fmt: skip
NOISE = {"words": "uniform noise", "gross": True, "metrics": FAR}
PATCHES = {"words": "shuffled parts", "gross": False, "metrics": {**FAR, **LIKE}}
RECORD = {
    "conditions": {
        "resampling": RESAMPLING,
        "settings": {"confidence": 0.95},
    },
    "provenance": {"bundle": "b" * 64},
    "metrics": described(),
    "controls": {"noise": NOISE},
}
OLDER, UNSAID = ({**RECORD, "conditions": {**RECORD["conditions"], "resampling": kind}} for kind in ("halves", None))


def with_(**numbers: float) -> dict[str, float]:
    return {**GOOD, **numbers}


def interval(name: str, low: float, high: float, value: float | None = None) -> dict[str, float]:
    return with_(**{name: (low + high) / 2 if value is None else value, f"{name}_low": low, f"{name}_high": high})


def energy(low: float, high: float, value: float | None = None) -> dict[str, float]:
    return interval("energy_classifier", low, high, value)


def without(name: str) -> dict[str, float]:
    return {key: value for key, value in GOOD.items() if key != name}


def of(**changes: Any) -> dict[str, Any]:
    """A record of other metrics."""
    return {**RECORD, "metrics": described(**changes)}


def test_a_good_model_passes_and_the_verdict_names_its_bundle():
    judged = verdict(GOOD, RECORD, GATE)
    assert judged.outcome == "pass"
    assert judged.passed
    assert judged.reasons == ()
    assert judged.bundle == "b" * 64


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
            "raise evaluate.n or split.test_fraction",
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


def test_fail_comes_before_not_measured_before_not_enough_evidence():
    bad, few = energy(0.3, 0.4), {"n": 199.0}
    absent = without("near_share")
    assert verdict({**GOOD, **few}, RECORD, GATE).outcome == "not enough evidence"
    assert verdict({**absent, **few}, RECORD, GATE).outcome == "not measured"
    assert verdict({**absent, **few, **{k: bad[k] for k in bad if "energy" in k}}, RECORD, GATE).outcome == "fail"


def test_how_many_samples_would_be_enough_follows_the_root_of_n():
    # The interval reaches 0.02, the value lies 0.01 from the limit: twice as near needs four times as many.
    found = next(r for r in verdict(energy(0.07, 0.11, 0.09), RECORD, GATE).rules if r.rule.startswith("energy"))
    assert "about 4,400 samples" in found.text


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


SERIES_GATE = SeriesGate(
    model_name=None, min_samples=30, max_golden_difference=0.1, max_unseen_controls=0, max_champion_loss=0.02,
    absolute=(), min_skill=0.05, max_coverage_error=0.1, max_dispersion_error=0.25, max_broken=0.0,
)  # fmt: skip
SKILL = Rule(
    "least", "min_skill", "skill", "better by {value:.0%}", says="better by {value:.0%}", asks="forecasts well"
)
COVERAGE = Rule("inside", "max_coverage_error", "coverage", "{value:.0%} inside", centre=0.9)
FORECASTS = {
    **RECORD,
    "metrics": [
        Metric("n", "windows").described(),
        Metric("skill", "", "higher", rule=SKILL, share=True).described(),
        Metric("coverage", "", "inside", rule=COVERAGE, share=True).described(),
    ],
}


def forecast_rule(name: str, low: float, high: float) -> RuleResult:
    numbers = {"n": 50.0, "n_heldout": 50.0, name: (low + high) / 2, f"{name}_low": low, f"{name}_high": high}
    return next(rule for rule in verdict(numbers, FORECASTS, SERIES_GATE).rules if rule.rule == name)


@pytest.mark.parametrize(
    ("name", "ends", "outcome", "limit", "text"),
    [
        ("skill", (0.2, 0.26), "pass", 0.05, "better by 23%; at least 5%"),
        ("skill", (0.04, 0.3), "not enough evidence", 0.05, "about 65 windows and as many unseen"),
        ("skill", (-0.2, 0.04), "fail", 0.05, "better by -8%; at least 5%"),
        ("coverage", (0.82, 0.98), "pass", 0.8, "90% inside; allowed 80% to 100%"),
        ("coverage", (0.75, 0.83), "not enough evidence", 0.8, "79% inside; allowed 80% to 100%"),
        ("coverage", (0.5, 0.7), "fail", 0.8, "60% inside; allowed 80% to 100%"),
        ("coverage", (0.9, 1.04), "not enough evidence", 1.0, "97% inside"),
        ("coverage", (1.01, 1.04), "fail", 1.0, "102% inside"),
    ],
)
def test_a_least_and_an_inside_are_judged_by_the_whole_interval(
    name: str, ends: Any, outcome: str, limit: float, text: str
):
    found = forecast_rule(name, *ends)
    assert (found.outcome, found.limit) == (outcome, pytest.approx(limit))
    assert text in found.text


def test_they_are_not_measured_by_intervals_of_another_kind():
    record = {**FORECASTS, "conditions": {**RECORD["conditions"], "resampling": "older"}}
    numbers = {"n": 50.0, "n_heldout": 50.0, **{f"{name}{end}": 0.9 for name in ("skill", "coverage") for end in ENDS}}
    judged = verdict(numbers, record, SERIES_GATE)
    assert {rule.rule: rule.outcome for rule in judged.rules if rule.rule in ("skill", "coverage")} == {
        "skill": "not measured", "coverage": "not measured"
    }  # fmt: skip


def test_the_headline_answers_what_the_rule_asks_and_counts_are_called_what_they_are():
    numbers = {"n": 50.0, "n_heldout": 60.0, **{f"{name}{end}": 0.9 for name in ("skill", "coverage") for end in ENDS}}
    judged = verdict(numbers, FORECASTS, SERIES_GATE)
    assert judged.headline == "forecasts well: yes, because better by 90%, and no rule finds a fault"
    assert judged.rules[0].text == "50 windows and 60 unseen examples"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_skill": 1.0}, "min_skill: must be between -1 and 1"),
        ({"max_coverage_error": 1.1}, "max_coverage_error: must be between 0 and 1"),
        ({"max_dispersion_error": -0.1}, "max_dispersion_error: must be 0 or more"),
        ({"max_broken": -0.1}, "max_broken: must be between 0 and 1"),
    ],
)
def test_limits_of_forecasts_out_of_range_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        replace(SERIES_GATE, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": ""}, r"model_name: must be null \(by the data\) or a name without"),
        ({"model_name": "a/b"}, "without `/`, `:` or outer spaces, got 'a/b'"),
        ({"min_samples": 0}, "min_samples: must be at least 1, got 0"),
        ({"max_energy": 0.0}, "max_energy: must be above 0, got 0.0"),
        ({"max_lost": 1.5}, "max_lost: must be between 0 and 1, got 1.5"),
        ({"max_rough": -0.1}, "max_rough: must be between 0 and 1, got -0.1"),
        ({"max_distance_ratio": 0.9}, r"max_distance_ratio: must be null \(no such rule\) or at least 1"),
        ({"max_accuracy_loss": 1.5}, r"max_accuracy_loss: must be null \(no such rule\) or between 0 and 1, got 1.5"),
        ({"max_copy_excess": -0.1}, "max_copy_excess: must be between 0 and 1"),
        ({"copy_significance": 0.0}, "copy_significance: must be between 0 and 1, both excluded"),
        ({"max_broken_excess": 2.0}, "max_broken_excess: must be between 0 and 1"),
        ({"max_golden_difference": -1.0}, "max_golden_difference: must be 0 or more"),
        ({"max_unseen_controls": -1}, "max_unseen_controls: must be 0 or more, got -1"),
        ({"max_champion_loss": -0.5}, "max_champion_loss: must be 0 or more, got -0.5"),
    ],
)
def test_rules_out_of_range_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        replace(GATE, **changes)


def test_a_limit_without_ends_is_refused():
    with pytest.raises(ParamsError, match="the limit on 'fid' must have a min or a max, got neither"):
        Limit("fid", None, None)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (-0.0, "0"), (0.0, "0"), (-1.5e-20, "-1.5e-20"), (0.31814, "0.3181"), (-2.0, "-2")]
)
def test_numbers_read_as_people_write_them(value: float | None, text: str):
    assert number(value) == text
