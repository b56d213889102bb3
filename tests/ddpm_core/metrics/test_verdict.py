"""Every outcome of every rule, every message, and the order in which outcomes block."""

import re
from dataclasses import replace

import pytest

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.verdict import GateConfig, Limit, number, verdict

GATE = GateConfig(
    model_name="digits",
    min_images=200,
    max_distance_ratio=3.0,
    max_accuracy_loss=0.02,
    max_copy_excess=0.005,
    copy_significance=0.01,
    max_broken_excess=0.005,
    max_golden_difference=0.1,
    max_champion_loss=1.0,
    absolute=(),
)
GOOD = {
    "n": 1000.0,
    "n_heldout": 1000.0,
    "fcd_ratio_train": 1.5,
    "fcd_ratio_test": 1.2,
    "fcd_floor_train": 0.2,
    "fcd_floor_test": 0.3,
    "fcd_train": 0.3,
    "accuracy_asked": 0.985,
    "accuracy_heldout": 0.99,
    "near_share": 0.001,
    "near_share_heldout": 0.001,
    "near_chance": 0.7,
    "lone_share": 0.0,
    "lone_share_heldout": 0.0,
    "lone_chance": 1.0,
    "constant_share": 0.0,
    "constant_share_heldout": 0.0,
    "duplicate_share": 0.0,
    "duplicate_share_heldout": 0.0,
    "golden_difference": 0.0,
    **{
        f"fcd_ratio_{split}_{end}": value for split in ("train", "test") for end, value in (("low", 1.0), ("high", 2.0))
    },
    "accuracy_asked_low": 0.975,
    "accuracy_asked_high": 0.99,
}
RECORD = {
    "conditions": {"distances": ["fcd"], "conditional": True, "classes": 10, "resampling": RESAMPLING},
    "provenance": {"bundle": "b" * 64},
}
OLDER, UNSAID = ({**RECORD, "conditions": {**RECORD["conditions"], "resampling": kind}} for kind in ("halves", None))


def with_(**numbers: float) -> dict[str, float]:
    return {**GOOD, **numbers}


def ratio(low: float, high: float, value: float) -> dict[str, float]:
    return with_(fcd_ratio_train=value, fcd_ratio_train_low=low, fcd_ratio_train_high=high)


def asked(low: float, high: float) -> dict[str, float]:
    return with_(accuracy_asked=(low + high) / 2, accuracy_asked_low=low, accuracy_asked_high=high)


def without(name: str) -> dict[str, float]:
    return {key: value for key, value in GOOD.items() if key != name}


def conditions(**changes: object) -> dict[str, object]:
    return {**RECORD, "conditions": {**RECORD["conditions"], **changes}}


def test_a_good_model_passes_and_the_verdict_names_its_bundle():
    judged = verdict(GOOD, RECORD, GATE)
    assert judged.outcome == "pass"
    assert judged.passed
    assert judged.reasons == ()
    assert judged.bundle == "b" * 64


@pytest.mark.parametrize(
    ("rule", "metrics", "record", "gate", "outcome", "text"),
    [
        ("images", GOOD, RECORD, GATE, "pass", "1000 samples beside 1000 unseen real images"),
        (
            "images",
            with_(n=199),
            RECORD,
            GATE,
            "not enough evidence",
            "gate.min_images asks for 200 of each: raise evaluate.n",
        ),
        ("images", with_(n_heldout=60), RECORD, GATE, "not enough evidence", "raise evaluate.n or split.test_fraction"),
        ("images", without("n"), RECORD, GATE, "not measured", "metrics.json has no n"),
        (
            "fcd to train",
            ratio(2.8, 3.0, 2.9),
            RECORD,
            GATE,
            "pass",
            r"2.9 x \(2.8 to 3\) the 0.2 of real images at the",
        ),
        ("fcd to train", ratio(2.8, 3.01, 2.9), RECORD, GATE, "not enough evidence", "2.8 to 3.01.*allowed 3 x"),
        ("fcd to train", ratio(3.0, 3.2, 3.1), RECORD, GATE, "not enough evidence", "allowed 3 x"),
        ("fcd to train", ratio(3.01, 3.2, 3.1), RECORD, GATE, "fail", "allowed 3 x"),
        ("fcd to train", ratio(39, 41, 40.0), RECORD, GATE, "fail", r"40 x \(39 to 41\) the 0.2 of real images"),
        ("fcd to train", ratio(*[float("nan")] * 3), RECORD, GATE, "fail", "nan x"),
        (
            "fcd to train",
            GOOD,
            OLDER,
            GATE,
            "not measured",
            "must be of the kind .*, got 'halves'; run `ddpm evaluate`",
        ),
        ("fcd to test", GOOD, UNSAID, GATE, "not measured", "must be of the kind .*, got None; run `ddpm evaluate`"),
        ("fcd to test", without("fcd_ratio_test_high"), RECORD, GATE, "not measured", "has no fcd_ratio_test_high"),
        ("fcd to test", without("fcd_ratio_test"), RECORD, GATE, "not measured", "metrics.json has no fcd_ratio_test"),
        ("fid to train", GOOD, conditions(distances=["fid", "fcd"]), GATE, "not measured", "no fid_ratio_train"),
        (
            "asked label",
            asked(0.97, 0.98),
            RECORD,
            GATE,
            "pass",
            r"97.50% \(97.00% to 98.00%\) of the samples are called by the label",
        ),
        (
            "asked label",
            asked(0.96, 0.98),
            RECORD,
            GATE,
            "not enough evidence",
            "allowed 2.00% less",
        ),
        (
            "asked label",
            asked(0.94, 0.969),
            RECORD,
            GATE,
            "fail",
            "99.00% of unseen real images by theirs; allowed 2.00% less",
        ),
        ("asked label", without("accuracy_asked"), RECORD, GATE, "not measured", "metrics.json has no accuracy_asked"),
        (
            "asked label",
            with_(accuracy_heldout=0.11),
            RECORD,
            GATE,
            "not enough evidence",
            "mere chance reaches .10.00%.: the classifier is too weak",
        ),
        ("asked label", GOOD, conditions(conditional=False), GATE, "not applicable", "takes no label"),
        ("asked label", GOOD, conditions(classes=1), GATE, "not applicable", "there is but one"),
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
            with_(near_share=0.006),
            RECORD,
            GATE,
            "pass",
            "nearer to a training image than 0.10% of unseen",
        ),
        (
            "near copies",
            with_(near_share=0.02, near_chance=1e-5),
            RECORD,
            GATE,
            "fail",
            "2.00% of the samples are nearer .* allowed 0.60%",
        ),
        (
            "near copies",
            with_(near_share=0.02, near_chance=0.25),
            RECORD,
            GATE,
            "pass",
            "so many come by chance in 25% of draws",
        ),
        ("near copies", without("near_chance"), RECORD, GATE, "not measured", "metrics.json has no near_chance"),
        (
            "lone copies",
            with_(lone_share=0.01, lone_chance=0.001),
            RECORD,
            GATE,
            "fail",
            "one training image far nearer than the next",
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
        ("golden image", GOOD, RECORD, GATE, "pass", "differs by 0 levels from the export's; allowed 0.1"),
        ("golden image", with_(golden_difference=0.4), RECORD, GATE, "fail", "differs by 0.4 levels"),
        ("golden image", without("golden_difference"), RECORD, GATE, "not measured", "has no golden_difference"),
        (
            "golden image",
            without("golden_difference"),
            {**RECORD, "provenance": {"bundle": "b", "golden": False}},
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


def test_fail_comes_before_not_measured_before_not_enough_evidence():
    bad, few = {"fcd_ratio_train": 9.0, "fcd_ratio_train_low": 8.0, "fcd_ratio_train_high": 10.0}, {"n": 10.0}
    absent = without("near_share")
    assert verdict({**GOOD, **few}, RECORD, GATE).outcome == "not enough evidence"
    assert verdict({**absent, **few}, RECORD, GATE).outcome == "not measured"
    assert verdict({**absent, **few, **bad}, RECORD, GATE).outcome == "fail"


def test_without_labels_every_other_rule_still_holds():
    unlabelled = conditions(conditional=False, classes=0, distances=["fd_efficientnet_lite0"])
    metrics = {key.replace("fcd", "fd_efficientnet_lite0"): value for key, value in GOOD.items()}
    del metrics["accuracy_asked"], metrics["accuracy_heldout"]
    assert verdict(metrics, unlabelled, GATE).passed
    metrics |= {f"fd_efficientnet_lite0_ratio_test{end}": 3.5 for end in ("", "_low", "_high")}
    assert verdict(metrics, unlabelled, GATE).outcome == "fail"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"conditions": {}, "provenance": {"bundle": "b"}},
        {"conditions": None, "provenance": None},
        {**RECORD, "provenance": {"bundle": ""}},
        conditions(distances=[]),
        conditions(conditional=None),
    ],
)
def test_a_record_that_leaves_open_which_rules_apply_is_refused(record):
    with pytest.raises(DataError, match=r"must say conditions.distances, .conditional and .classes.*`ddpm evaluate`"):
        verdict(GOOD, record, GATE)


def test_the_table_has_a_line_a_rule_and_the_outcome():
    lines = verdict(ratio(4, 6, 5), RECORD, GATE).table().splitlines()
    assert lines[0].split()[:4] == ["rule", "measured", "limit", "outcome"]
    assert any(line.startswith("fcd to train") and "fail" in line for line in lines)
    assert lines[-1] == "verdict: FAIL"


def test_the_smallest_difference_that_is_told_stands_under_the_table():
    tells = {"fcd_ratio_train_detectable": 0.5, "fcd_ratio_test_detectable": 0.625, "accuracy_asked_detectable": 0.012}
    judged = verdict({**GOOD, **tells}, RECORD, GATE)
    assert judged.tells == (
        "1000 samples tell two models apart in 8 of 10 draws where they differ in fcd to train by 0.5 x the floor, "
        "fcd to test by 0.625 x the floor, asked label by 1.20%"
    )
    assert judged.table().splitlines()[-2] == judged.tells == judged.to_dict()["tells"]
    assert verdict(GOOD, RECORD, GATE).tells == ""


def test_a_verdict_as_plain_data_holds_all_of_it():
    plain = verdict(GOOD, RECORD, GATE).to_dict()
    assert (plain["outcome"], plain["bundle"]) == ("pass", "b" * 64)
    assert plain["rules"][0] == {
        "rule": "images",
        "outcome": "pass",
        "value": 1000.0,
        "limit": 200,
        "text": "1000 samples beside 1000 unseen real images",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": ""}, r"model_name: must be null \(by the data\) or a name without"),
        ({"model_name": "a/b"}, "without `/`, `:` or outer spaces, got 'a/b'"),
        ({"min_images": 0}, "min_images: must be at least 1, got 0"),
        ({"max_distance_ratio": 0.9}, r"max_distance_ratio: must be at least 1 \(1 = as near as unseen"),
        ({"max_accuracy_loss": 1.5}, r"max_accuracy_loss: must be null \(no such rule\) or between 0 and 1, got 1.5"),
        ({"max_copy_excess": -0.1}, "max_copy_excess: must be between 0 and 1"),
        ({"copy_significance": 0.0}, "copy_significance: must be between 0 and 1, both excluded"),
        ({"max_broken_excess": 2.0}, "max_broken_excess: must be between 0 and 1"),
        ({"max_golden_difference": -1.0}, "max_golden_difference: must be 0 or more"),
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
