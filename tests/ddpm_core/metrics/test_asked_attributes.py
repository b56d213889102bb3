"""An attribute asked for is judged as the label is, by the samples that were asked for one."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddpm_core.gate.rules import Evidence
from ddpm_core.metrics.accuracy import attribute_metric, attributes
from ddpm_core.metrics.data import AskedAttribute
from ddpm_core.metrics.intervals import RESAMPLING, Resampling
from ddpm_core.metrics.metric import Metric, flat
from tests.support.measured import GATE

ASKED = np.array([0, 1, 2, -1] * 50)


def measured(of: AskedAttribute) -> dict[str, Metric]:
    data: Any = SimpleNamespace(attributes=(of,), resampling=Resampling(40, 0, 0.95))
    return {metric.name: metric for metric in attributes(data)}


def of(wrong: int, unseen: float | None = 0.98) -> AskedAttribute:
    """The classifier calls the first so many samples otherwise, and those that were asked for nothing 0."""
    called = np.where(ASKED < 0, 0, ASKED)
    told = np.flatnonzero(ASKED >= 0)[:wrong]
    called[told] = (called[told] + 1) % 3
    return AskedAttribute("colour", 3, ASKED, called, 120, unseen)


def judged(of: AskedAttribute) -> Any:
    numbers = {"n": 200.0, "n_heldout": 160.0, **flat(measured(of).values(), 0.95)}
    evidence = Evidence(numbers, GATE, 0.95, RESAMPLING, {})
    (metric,) = [each for each in measured(of).values() if each.rule is not None]
    return evidence.result(metric)


def test_what_was_asked_for_nothing_is_not_counted() -> None:
    found = measured(of(wrong=30))
    assert found["accuracy_asked_colour"].value == pytest.approx(0.8)
    assert found["asked_colour"].value == 150
    assert (found["known_colour"].value, found["accuracy_heldout_colour"].value) == (120, 0.98)


def test_it_is_judged_by_the_limit_of_the_label() -> None:
    assert judged(of(wrong=0)).outcome == "pass"
    result = judged(of(wrong=60))
    assert (result.rule, result.outcome) == ("asked colour", "fail")
    assert "60.00% of the samples are classified as the colour asked for, 98.00% of unseen examples" in result.text


def test_the_interval_is_of_the_samples_that_were_asked_and_of_what_is_known() -> None:
    few = replace(of(wrong=12), asked=np.where(np.arange(200) < 40, ASKED, -1))
    wide, narrow = (judged(each).text.split("a loss of ")[1].split(")")[0] for each in (few, of(wrong=60)))
    spans = [float(high) - float(low) for low, high in (
        each.split("(")[1].replace("%", "").split(" to ") for each in (wide, narrow)
    )]  # fmt: skip
    assert spans[0] > 1.5 * spans[1]


@pytest.mark.parametrize("lacking", [{"classified": None}, {"unseen_accuracy": None}, {"asked": np.full(200, -1)}])
def test_without_a_classifier_or_anything_asked_no_rule_applies(lacking: dict[str, Any]) -> None:
    result = judged(replace(of(wrong=0), **lacking))
    assert result.outcome == "not applicable"


def test_one_class_gives_nothing_to_judge() -> None:
    assert attribute_metric("colour", 1).not_applicable
