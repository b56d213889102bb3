"""The report's tables: what differs from real pictures is said, what does not is not."""

import math

from ddpm_core.metrics.accuracy import accuracy_metric
from ddpm_core.metrics.intervals import Interval
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.pixels import CONSTANT
from pipelines.report.tables import (
    difference_rows,
    difference_summary,
    differences,
    distance_rows,
    headline,
    measure_rows,
    steps_rows,
)

DIVERSITY = Metric(
    "fcd_diversity_class_min",
    "",
    by_class="fcd_diversity",
    contrast=("diversity of class {label} in fcd", ""),
    value=0.3,
)

CLEAN = [0.8] + [0.2 / 255] * 255
DIRTY = [0.2, 0.3, 0.3] + [0.2 / 253] * 253


def test_a_background_a_level_too_bright_is_said_plainly() -> None:
    found = differences((), {}, (), DIRTY, CLEAN)
    assert difference_summary(found).startswith(
        "Apart from real pictures by more than 20%: values at level 0 (20.0% against 80.0%)"
    )
    table = {row[0]: row[1:4] for row in difference_rows(found)}
    assert table["values at level 0"] == ("20.0%", "80.0%", "0.25 x")
    assert table["values at most 8"] == ("80.5%", "80.6%", "1.00 x")


def test_a_class_of_like_samples_is_named() -> None:
    found = differences([DIVERSITY], {"fcd_diversity": [1.1, 0.34, None]}, ("a", "b", "c"), (), ())
    assert [one.what for one in found] == ["diversity of class b in fcd"]
    assert "diversity of class b in fcd (0.34 against 1)" in difference_summary(found)


def test_where_nothing_differs_the_summary_says_that() -> None:
    label = accuracy_metric(3)
    metrics = [
        label.measured(0.97), Metric(label.floor, "", value=0.98), CONSTANT.measured(0.0),
        Metric(CONSTANT.floor, "", value=0.0), DIVERSITY,
    ]  # fmt: skip
    found = differences(metrics, {"fcd_diversity": [0.9, 1.1]}, ("a", "b"), CLEAN, CLEAN)
    assert (
        difference_summary(found)
        == "No measure of this table differs from that of real pictures by more than 20% of it."
    )
    rows = difference_rows(found)
    assert ("images of one colour", "0.0%", "0.0%", "-", "") in rows
    assert [row[0] for row in rows if row[0].startswith("diversity")] == ["diversity of class a in fcd"]


def test_measures_stand_beside_what_real_images_score() -> None:
    metric = Metric("sharp", "how sharp edges are", floor="sharp_real", contrast=("sharpness", "1 = real"), value=1.42)
    (found,) = differences([metric, Metric("sharp_real", "the same", value=0.97)], {}, (), (), ())
    assert (found.what, found.samples, found.real, found.words) == ("sharpness", 1.42, 0.97, "1 = real")
    assert not found.is_alike
    assert differences([metric], {}, (), (), ()) == []


def test_a_headline_and_the_numbers_of_metrics_that_the_record_describes() -> None:
    metrics = [
        Metric("fd_train", "", floor="fd_floor", ratio="fd_ratio", distance=("fd", "training images"), value=2.0),
        Metric("fd_floor", "", value=1.0),
        Metric("fd_ratio", "", value=2.0, interval=Interval(1.5, 2.5)),
        Metric("score", "how good", floor="score_real", tile=("score; real {floor:.1f}", ".2f"), value=3.0),
        Metric("score_real", "the same", value=4.0),
        Metric("near", "copies", value=0.5, interval=Interval(-math.inf, 0.75)),
        Metric("gone", "not measured"),
    ]
    assert headline(metrics) == [("score; real 4.0", "3.00")]
    assert distance_rows(metrics)[1:] == [("fd", "training images", "2", "1", "2 (1.5 to 2.5)", "too few samples")]
    assert measure_rows(metrics)[1:] == [
        ("near", "0.5", "copies"), ("score", "3", "how good"), ("score_real", "4", "the same"),
    ]  # fmt: skip


def test_steps_show_the_interval_and_the_labels_only_where_they_are_known() -> None:
    row = {"steps": "5", "evaluations": "8", "images": "9", "own": "0", "judge": "inception", "energy": "0.15",
           "low": "0.1", "high": "0.2", "accuracy": ""}  # fmt: skip
    labelled = {**row, "judge": "classifier", "accuracy": "0.5"}
    own = {**row, "steps": "9", "own": "1"}
    text = "0.150 (0.100 to 0.200)"
    assert steps_rows([row, labelled, own, {**own, "judge": "classifier"}]) == [
        ("steps", "evaluations", "e in inception", "e in classifier", "right label"),
        ("5", "8", text, text, "50.0%"),
        ("9 (own)", "8", text, text, "-"),
    ]
    assert steps_rows([own]) == [("steps", "evaluations", "e in inception"), ("9 (own)", "8", text)]
