"""Series are judged right: an exact forecaster passes, every gross fault is refused, and nothing hidden is looked at.

Nothing is trained. The samples come from the exact distribution of what follows, or is missing, in an AR(1).
"""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.gate.comparison import compare
from ddpm_core.metrics.recompute import ways
from ddpm_core.scaling import Scaling
from ddpm_core.spec import LABEL, Condition, DataSpec
from pipelines.kinds import kind_of
from pipelines.kinds.series.evaluation.asked import asked_of
from pipelines.kinds.series.evaluation.measure import with_told
from pipelines.kinds.series.evaluation.measures import broken
from pipelines.kinds.series.reference.controls import WORDS
from pipelines.kinds.series.rows.sample_files import (
    FANS,
    QUANTILES,
)
from pipelines.shards.archive import Split
from tests.pipelines.kinds.series.judging import CONFIG, CONFIGS, GATE, MASKS, TASKS, data, exact, judged, judged_of
from tests.support.ar_series import FORECAST, HORIZON

GROSS = [name for name, (_, gross) in WORDS.items() if gross]


# ---- the verdict


@pytest.mark.parametrize("task", TASKS)
def test_an_exact_forecaster_passes(task: str):
    found = exact(task).verdict
    assert found.outcome == "pass", found.table()
    assert found.headline.startswith(
        f"{'fills gaps' if task == 'impute' else 'forecasts'} well: yes, because the "
        f"{'values filled in' if task == 'impute' else 'forecasts'} are"
    )
    assert "better than the best baseline (" in found.table()
    assert {rule.rule for rule in found.rules} == {
        "samples", "skill", "coverage of 50%", "coverage of 90%", "dispersion", "whole", "golden sample", "controls"
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_every_control_is_there_and_every_gross_one_is_refused(task: str):
    controls = {control.name: control for control in exact(task).verdict.controls}
    assert list(controls) == list(WORDS)
    assert [name for name in GROSS if not controls[name].blocked] == []


BAD = {
    "too little spread": (("coverage of 50%", "coverage of 90%", "dispersion"), None, 0.5),
    "too much spread": (("coverage of 50%", "dispersion"), None, 2.0),
    "beside the truth": (("skill", "coverage of 50%", "coverage of 90%"), lambda x: x + 3.0 * x.std(), 1.0),
    "of other windows": (("skill",), lambda x: np.roll(x, 7, axis=0), 1.0),
    "one sample again and again": (
        ("coverage of 50%", "coverage of 90%", "dispersion"), lambda x: np.repeat(x[:, :1], x.shape[1], axis=1), 1.0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("task", TASKS)
def test_a_bad_forecaster_is_refused_by_the_rules_that_see_its_fault(task: str, name: str):
    rules, changed, spread = BAD[name]
    outcomes = {rule.rule: rule.outcome for rule in judged(task, changed, spread).verdict.rules}
    assert {outcomes[rule] for rule in rules} <= {"fail", "not enough evidence"}, outcomes
    assert "fail" in {outcomes[rule] for rule in rules}


def test_too_few_windows_apart_are_not_enough_evidence():
    found = judged("forecast", config=replace(CONFIG, n=10)).verdict
    assert (found.rules[0].rule, found.rules[0].outcome) == ("samples", "not enough evidence")
    assert found.rules[0].text.startswith("10 windows apart in time and 120 unseen")


def test_a_challenger_is_held_against_the_champion_by_the_same_windows():
    """A little too little spread costs little CRPS, which only the pairing by window shows."""
    exact_one, worse = exact("forecast").measurement, judged("forecast", spread=0.5).measurement
    (same,) = compare(exact_one, exact_one, GATE)
    assert (same.rule, same.outcome, same.value) == ("champion: skill", "pass", 0.0)
    (found,) = compare(worse, exact_one, GATE)
    assert found.outcome == "fail"
    (other,) = compare(exact_one, worse, GATE)
    assert other.outcome == "pass"
    alone = worse.replicates("skill")
    both = worse.difference("skill", exact_one)
    assert alone is not None
    assert both.high - both.low < 0.5 * 2 * 1.96 * alone.spread


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_says_what_it_is_and_reads_back_as_it_was(task: str):
    of = exact(task)
    numbers, measured = of.measurement.metrics, of.measured.metrics
    assert len({metric.name for metric in measured}) == len(measured)
    for metric in measured:
        assert metric.value is not None
        assert metric.meaning
        assert not metric.floor or metric.floor in numbers
        if metric.better is not None and metric.name != "broken_share":
            assert metric.replicates is not None
            assert metric.interval is not None
            assert metric.interval.low <= metric.value <= metric.interval.high
    read = {metric.name: metric for metric in of.measurement.listed}
    assert all(read[metric.name].described() == metric.described() for metric in measured)


@pytest.mark.parametrize("task", TASKS)
def test_all_intervals_follow_from_what_the_record_holds(task: str):
    measurement = exact(task).measurement
    ends = {name for name in measurement.metrics if name.endswith(("_low", "_high", "_detectable"))}
    assert ends
    assert set(ways(measurement)) == ends


# ---- what is measured


@pytest.mark.parametrize(
    ("task", "name", "mask"),
    [
        ("forecast", "history", "seen"),
        ("forecast", "x", "present"),
        ("impute", "x", "present"),
        ("impute", "observed", "told"),
    ],
)
def test_no_bit_depends_on_what_is_missing_or_was_not_told(task: str, name: str, mask: str):
    _, test = data(task)
    before = exact(task).measurement.metrics
    array = test.arrays[name]
    kept = array.copy()
    try:
        array[test.arrays[mask] == 0] = 1e7
        assert judged(task).measurement.metrics == before
    finally:
        array[:] = kept


@pytest.mark.parametrize("task", TASKS)
def test_every_measure_stands_beside_the_best_baselines(task: str):
    numbers = exact(task).measurement.metrics
    for name in ("crps", "energy_score", "wql", "sql", "mase", "mae_median", "rmse_mean"):
        assert numbers[name] < numbers[f"{name}_baseline"]
        assert numbers[f"{name}_low"] < numbers[name] < numbers[f"{name}_high"]
    assert numbers["skill"] == pytest.approx(1 - numbers["crps"] / numbers["crps_baseline"], rel=1e-6)


def test_a_scaling_of_each_series_changes_no_score_in_standard_deviations():
    """Two series, of which the second is a thousand times as large."""
    both = Scaling((10.0, -3.0), (2.0, 0.5), (Scaling((10.0, -3.0), (2.0, 0.5)), Scaling((1e4, -3e3), (2e3, 5e2))))
    conditions = {**FORECAST.conditions, LABEL: Condition.of_classes(("small", "large"))}
    spec = replace(FORECAST, conditions=conditions, scaling=both)

    def labelled(of: Split) -> Split:
        label = np.arange(len(of)) % 2
        x = np.where(of.arrays["present"] > 0, spec.decode(FORECAST.encode(of.x), label), 0).astype(np.float32)
        return Split({**of.arrays, "x": x, LABEL: label}, of.keys)

    train, test = data("forecast")
    found, one = judged_of(spec, (labelled(train), labelled(test)), CONFIG), exact("forecast")
    for name in ("crps", "energy_score", "coverage_90", "dispersion", "mae_median"):
        assert found.measurement.metrics[name] == pytest.approx(one.measurement.metrics[name], rel=1e-3)
    assert found.verdict.passed
    rows = list(csv.DictReader(io.StringIO(found.measured.files[QUANTILES].decode())))
    assert max(float(row["truth"]) for row in rows if row["column"] == "load") > 8_000
    titles = {fan["title"] for fan in json.loads(found.measured.files[FANS])["ordinary"]}
    assert all(title.endswith((" of small", " of large")) for title in titles)


@pytest.mark.parametrize("task", TASKS)
def test_masks_belong_to_windows_to_impute(task: str):
    wrong = replace(CONFIG, masks=None if task == "impute" else MASKS)
    with pytest.raises(ParamsError, match=rf"evaluate\.masks: must be .*{task}"):
        asked_of(data(task)[1], TASKS[task], wrong)


def test_the_scores_of_the_exact_forecaster_are_those_of_its_closed_forms():
    """Of a Gaussian of variance v the CRPS is sqrt(v / pi) in the mean; h steps on v = 1 - phi^(2 h)."""
    numbers = exact("forecast").measurement.metrics
    steps = np.arange(1, HORIZON + 1)
    wanted = np.sqrt((1 - 0.8 ** (2 * steps)) / np.pi).mean()
    assert numbers["crps"] == pytest.approx(wanted, rel=0.06)
    assert numbers["coverage_90"] == pytest.approx(0.9, abs=0.03)
    assert numbers["dispersion"] == pytest.approx(1.0, abs=0.12)


# ---- what is asked


@pytest.mark.parametrize("task", TASKS)
def test_each_window_is_asked_for_as_often_as_it_says_and_told_alike(task: str):
    spec, (_, test) = TASKS[task], data(task)
    config = replace(CONFIGS[task], n=20, samples_each=10)
    asked = asked_of(test, spec, config)
    rows = asked.rows.reshape(20, 10)
    assert (rows == rows[:, :1]).all()
    assert len(set(rows[:, 0].tolist())) == 20
    assert list(asked.cond) == list(spec.conditions)
    for value in asked.cond.values():
        value = value.reshape(20, 10, *value.shape[1:])
        assert (value == value[:, :1]).all()
    again = asked_of(test, spec, config)
    assert all((again.cond[name] == value).all() for name, value in asked.cond.items())


def test_more_windows_than_there_are_asks_for_each_once():
    _, test = data("forecast")
    assert len(asked_of(test, FORECAST, replace(CONFIG, n=500)).rows) == len(test) * CONFIG.samples_each


@pytest.mark.parametrize("task", TASKS)
def test_what_is_judged_is_what_is_there_and_was_not_told(task: str):
    _, test = data(task)
    found = exact(task)
    told = (
        found.asked.cond["told"][:: CONFIG.samples_each] > 0 if task == "impute" else np.zeros(test.x.shape, dtype=bool)
    )
    assert test.present is not None
    wanted = (test.present > 0) & ~told
    assert found.measurement.metrics["values"] == wanted.sum()
    if task == "impute":
        assert 0.1 < told.mean() < 0.9
        np.testing.assert_array_equal(found.asked.cond["observed"][found.asked.cond["told"] <= 0], 0)


def test_told_values_are_put_in_exactly_and_what_is_broken_is_counted():
    told = np.array([[[1.5, np.nan]]], dtype=np.float32)
    samples = np.array([[[[1.25, 7.0]], [[1.5, 8.0]]]], dtype=np.float32)
    assert broken(samples, told).value == 0.25
    mended = with_told(samples, told)
    assert broken(mended, told).value == 0.0
    np.testing.assert_array_equal(mended[0, :, 0, 1], [7.0, 8.0])
    assert broken(np.where(mended == 8.0, np.nan, mended), told).value == 0.25


def test_the_spec_of_these_tests_is_one_of_the_kinds():
    assert isinstance(FORECAST, DataSpec)
    assert FORECAST.kind == kind_of("series").name
