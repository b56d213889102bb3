"""The report's tables, from metrics that the record describes."""

import math

from ddpm_core.metrics.intervals import Interval
from ddpm_core.metrics.metric import Metric
from pipelines.report.tables import distance_rows, headline, measure_rows


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
