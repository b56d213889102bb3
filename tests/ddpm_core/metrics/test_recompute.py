"""Numbers that follow from others: found when they are written, and worked out again when they are read back."""

from typing import Any

import numpy as np
import pytest

from ddpm_core.metrics.intervals import Replicates, around, clopper_pearson, detectable, reflected, wilson
from ddpm_core.metrics.measurement import Measurement, encoded
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.recompute import WAYS, disagreements, ways

CONFIDENCE, N = 0.95, 200


def measured() -> Measurement:
    """A number of each way: `far` lies far from 0, `near` so near that its interval is cut there."""
    rng = np.random.default_rng(3)
    far, near = (Replicates(rng.normal(0, 0.2, 40), rng.normal(0.3, 0.1, 40)) for _ in range(2))
    metrics: dict[str, float] = {"n": N, "far": 5.0, "near": 0.01, "off": 0.2, "right": 0.97, "odd": 1.0}
    metrics["odd_low"] = 7.0
    metrics["far_low"], metrics["far_high"] = ends(around(5.0, far, CONFIDENCE))
    metrics["far_detectable"] = detectable(far.spread, CONFIDENCE)
    metrics["near_low"], metrics["near_high"] = ends(around(0.01, near, CONFIDENCE).at_least_0())
    metrics["off_low"], metrics["off_high"] = ends(reflected(0.2, near, CONFIDENCE))
    metrics["right_low"], metrics["right_high"] = ends(wilson(194, N, CONFIDENCE))
    metrics["near_share"], metrics["near_share_high"] = 0.01, clopper_pearson(2, N, CONFIDENCE).high
    metrics["by_label_class_min"], metrics["rising_class_max"] = 0.25, 0.5
    record: dict[str, Any] = {
        "conditions": {"settings": {"confidence": CONFIDENCE}},
        "replicates": encoded({"far": far, "near": near, "off": near}),
        "per_class": {"by_label": [0.5, None, 0.25], "rising": [0.5, None, 0.25]},
        "metrics": [
            *(Metric(name, "").described() for name in ("n", "far", "near", "off", "right", "odd", "near_share")),
            Metric("by_label_class_min", "", "higher", by_class="by_label").described(),
            Metric("rising_class_max", "", "lower", by_class="rising").described(),
        ],
    }
    return Measurement({name: float(f"{value:.9g}") for name, value in metrics.items()}, record)


def ends(interval: Any) -> tuple[float, float]:
    return interval.low, interval.high


def test_the_way_of_each_number_is_found_and_of_what_follows_from_nothing_none() -> None:
    found = ways(measured())
    assert found == {
        "far_low": "around",
        "far_high": "around",
        "far_detectable": "detectable",
        "near_low": "around, at least 0",
        "near_high": "around",
        "off_low": "reflected",
        "off_high": "reflected",
        "right_low": "wilson",
        "right_high": "wilson",
        "near_share_high": "clopper-pearson",
        "by_label_class_min": "worst class",
        "rising_class_max": "worst class",
    }
    assert disagreements(measured(), found) == {}
    assert set(found.values()) <= set(WAYS)


@pytest.mark.parametrize("metric", sorted(ways(measured())))
def test_a_number_that_no_longer_follows_is_named_with_both_values(metric: str) -> None:
    honest = measured()
    forged = Measurement({**honest.metrics, metric: honest.metrics[metric] / 500 + 0.01}, honest.record)
    (wrong,) = disagreements(forged, ways(honest)).items()
    assert wrong[0] == metric
    assert wrong[1] == pytest.approx((forged.metrics[metric], honest.metrics[metric]), rel=1e-5, abs=1e-9)


def test_a_number_that_others_are_made_of_takes_them_with_it() -> None:
    honest = measured()
    forged = Measurement({**honest.metrics, "far": honest.metrics["far"] / 500}, honest.record)
    assert set(disagreements(forged, ways(honest))) == {"far_low", "far_high"}


def test_what_is_gone_or_of_an_unknown_way_does_not_follow() -> None:
    honest = measured()
    without = Measurement({n: v for n, v in honest.metrics.items() if n != "far_low"}, honest.record)
    assert disagreements(without, {"far_low": "around"})["far_low"][0] is None
    assert disagreements(honest, {"far_low": "as I like"})["far_low"][1] is None
    assert disagreements(honest, {"n": "around"})["n"][1] is None
