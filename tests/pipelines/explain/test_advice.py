"""Advice follows from what was found: no remedy without its symptom, and the cheapest of those that were measured."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddpm_core.gate.rules import Outcome, RuleResult
from pipelines.explain.advice import advice
from pipelines.explain.judged import still_falling
from pipelines.kinds import kind_of
from pipelines.kinds.advice import Judged
from pipelines.params import load_params
from tests.support.imports import ROOT

PARAMS = load_params(ROOT / "params.yaml")
HEAD = "steps,evaluations,images,own,judge,energy,low,high,accuracy\n"


def judged(outcomes: dict[str, Outcome], **more: Any) -> Judged:
    value = more.pop("value", 1.0)
    results = {key: RuleResult(key, outcome, value, 0.1, "") for key, outcome in outcomes.items()}
    given: dict[str, Any] = {
        "params": PARAMS, "examples": 4000, "still_falling": None, "too_short": False, "samples": Path("none"),
    }  # fmt: skip
    return Judged(results, **(given | more))


def changes(found: Judged, kind: str = "pictures") -> list[str]:
    return [each.change for each in [*kind_of(kind).advice(found), *advice(found)]]


@pytest.mark.parametrize("outcome", ["pass", "not applicable"])
def test_a_model_that_nothing_blocks_gets_no_advice(outcome: Outcome) -> None:
    keys = ("min_samples", "max_energy", "max_copy_excess", "max_rough", "max_accuracy_loss", "max_golden_difference")
    assert changes(judged(dict.fromkeys(keys, outcome), still_falling=0.2, examples=10)) == []


def test_a_distant_model_trains_on_where_the_loss_still_falls_and_grows_where_it_does_not() -> None:
    falls, flat = (changes(judged({"max_energy": "fail"}, still_falling=fall)) for fall in (0.1, None))
    assert falls[0] == "train.steps: 1,000 -> 2,000"
    assert flat[0].startswith("a larger network")


def test_a_training_too_short_to_tell_goes_on_before_the_network_grows() -> None:
    short = changes(judged({"max_energy": "fail"}, too_short=True))
    assert short[0] == "train.steps: 1,000 -> 2,000"
    assert not any("larger network" in change for change in short)


def test_few_examples_ask_for_more() -> None:
    many, few = (changes(judged({"max_lost": "fail"}, examples=count)) for count in (5000, 200))
    assert not any("train.augment" in change for change in many)
    assert any("train.augment" in change for change in few)


def test_a_model_that_copies_trains_less_even_if_it_is_distant_too() -> None:
    made = changes(judged({"max_copy_excess": "fail", "max_energy": "fail"}, still_falling=0.1))
    assert "train.steps: 1,000 -> 500" in made
    assert "train.steps: 1,000 -> 2,000" not in made


def test_too_little_evidence_asks_for_samples_where_there_are_more_to_be_had() -> None:
    unsure: dict[str, Outcome] = {"max_energy": "not enough evidence"}
    (change,) = changes(judged(unsure, value=0.04))
    assert change.startswith("split.test_fraction")
    fewer = replace(PARAMS, evaluate=replace(PARAMS.evaluate, n=100))
    (change,) = changes(judged(unsure, value=0.04, params=fewer))
    assert change.startswith("evaluate.n")


def test_what_is_undecided_near_its_limit_asks_for_a_better_model_before_more_evidence() -> None:
    first, *rest = changes(judged({"max_lost": "not enough evidence"}, value=0.1, still_falling=0.1))
    assert first == "train.steps: 1,000 -> 2,000"
    assert any(change.startswith("split.test_fraction") for change in rest)
    copies = changes(judged({"max_lost": "not enough evidence", "max_copy_excess": "fail"}, still_falling=0.1))
    assert "train.steps: 1,000 -> 500" in copies
    assert "train.steps: 1,000 -> 2,000" not in copies
    both = changes(judged({"max_lost": "not enough evidence", "max_accuracy_loss": "fail"}, still_falling=0.1))
    assert both.count("train.steps: 1,000 -> 2,000") == 1


def test_more_steps_are_advised_only_where_they_were_measured_to_be_clearly_nearer(tmp_path: Path) -> None:
    rows = "10,17,200,1,{0},0.2,0.18,0.22,\n5,9,200,0,{0},0.3,0.2,0.4,\n15,25,200,0,{0},0.19,0.17,0.21,\n"
    better = "30,50,200,0,{0},0.1,0.09,0.11,\n60,100,200,0,{0},0.05,0.04,0.06,\n"
    (tmp_path / "by_steps.csv").write_text(HEAD + (rows + better).format("a"))
    found = judged({"max_energy": "fail"}, samples=tmp_path)
    assert changes(found)[0] == "sample.sampler.steps: 10 -> 30"
    (tmp_path / "by_steps.csv").write_text(HEAD + (rows + better).format("a") + rows.format("b"))
    second = better.replace("0.1,0.09,0.11", "0.2,0.18,0.22").replace("0.05,0.04,0.06", "0.2,0.18,0.22").format("b")
    (tmp_path / "by_steps.csv").write_text(HEAD + (rows + better).format("a") + rows.format("b") + second)
    assert not any("sampler" in change for change in changes(found))  # the other judge sees no gain


def test_rough_pictures_of_patches_get_the_branch_at_full_size() -> None:
    assert "model.refine: auto -> 16" in changes(judged({"max_rough": "fail"}))
    has_it = replace(PARAMS, model=replace(PARAMS.model, refine=16))
    assert not any("refine" in change for change in changes(judged({"max_rough": "fail"}, params=has_it)))


def test_a_label_that_is_not_followed_gets_more_guidance_or_first_what_guidance_needs() -> None:
    assert "sample.guidance.weight: 0.6 -> 1.1" in changes(judged({"max_accuracy_loss": "fail"}))
    never = replace(PARAMS, train=replace(PARAMS.train, label_dropout=0.0))
    assert "train.label_dropout: 0 -> 0.1" in changes(judged({"max_accuracy_loss": "fail"}, params=never))


def test_intervals_of_series_that_miss_the_truth_get_more_dropout() -> None:
    params = SimpleNamespace(
        model=SimpleNamespace(dropout=0.1), diffusion=SimpleNamespace(variance="learned"), train=PARAMS.train
    )
    assert changes(judged({"max_coverage_error": "fail"}, params=params), "series")[0] == "model.dropout: 0.1 -> 0.2"


def test_a_loss_falls_if_it_does_so_by_more_than_it_scatters() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    assert still_falling((1 + noise).tolist()) is None
    assert still_falling((1 + noise - np.linspace(0, 0.9, 40)).tolist()) == pytest.approx(0.42, abs=0.1)
    assert still_falling([3.0, 2.0, 1.0]) is None


def test_a_trend_is_no_scatter() -> None:
    falling = [0.559, 0.431, 0.351, 0.279, 0.239, 0.209, 0.196, 0.190]
    assert still_falling(falling) == pytest.approx(0.138, abs=0.002)
    steep = np.linspace(1, 0.2, 40) + np.random.default_rng(1).normal(0, 0.001, 40)
    assert still_falling(steep.tolist()) is not None
    assert still_falling(falling[:4] + [0.2] * 4) is None
