"""The rules on forecasts: a least, an inside, and what their headline answers."""

from dataclasses import replace
from typing import Any

import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.gate.config import SeriesGate
from ddpm_core.gate.rules import RuleResult
from ddpm_core.gate.verdict import verdict
from ddpm_core.metrics.metric import Metric, Rule
from tests.support.judged import ENDS, RECORD

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


def test_dispersion_has_no_rule_where_its_limit_is_null():
    """Variance hangs on the rarest days; data that have such days may leave the spread to coverage."""
    rule = Rule("inside", "max_dispersion_error", "dispersion", "{value:.2f} x", centre=1.0)
    record = {
        **FORECASTS,
        "metrics": [*FORECASTS["metrics"], Metric("dispersion", "", "inside", rule=rule).described()],
    }
    numbers = {"n": 50.0, "n_heldout": 50.0, **{f"dispersion{end}": 0.4 for end in ENDS}}
    for limit, outcome in ((0.25, "fail"), (None, "not applicable")):
        judged = verdict(numbers, record, replace(SERIES_GATE, max_dispersion_error=limit))
        assert [found.outcome for found in judged.rules if found.rule == "dispersion"] == [outcome]


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
        ({"max_dispersion_error": -0.1}, r"max_dispersion_error: must be null \(no such rule\) or 0 or more"),
        ({"max_broken": -0.1}, "max_broken: must be between 0 and 1"),
    ],
)
def test_limits_of_forecasts_out_of_range_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        replace(SERIES_GATE, **changes)
