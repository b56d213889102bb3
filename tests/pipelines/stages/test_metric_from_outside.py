"""A metric of somebody else's: one function and its name in the tuple, and every command has it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import GateFailed
from ddpm_core.gate.config import Limit
from ddpm_core.metrics.data import EvalData
from ddpm_core.metrics.intervals import around, mean_replicates, resampled_within
from ddpm_core.metrics.metric import Metric, Rule
from pipelines.kinds.pictures.evaluation import measures
from pipelines.paths import Paths
from pipelines.report.compare import open_runs
from pipelines.report.compared import Compared
from pipelines.stages import evaluate, gate, reference, report
from pipelines.tracking.tracker import NullTracker
from tests.support.measured import EVALUATE, GATE, MeasuredParams, measured_project


def darkness(data: EvalData) -> Iterator[Metric]:
    """The mean share of the range that lacks to white."""
    each, how = 1 - data.images.mean(axis=(1, 2, 3)) / data.top, data.resampling
    value, replicates = float(each.mean()), mean_replicates(each, resampled_within(data.asked, how.rounds, how.seed))
    words = "the samples are {value:.0%} dark, unseen images {floor:.0%}"
    yield Metric(
        "darkness",
        "how dark the samples are on average",
        "lower",
        floor="darkness_heldout",
        rule=Rule("interval", "max_rough", "not too dark", words),
        champion="max_champion_loss",
        contrast=("darkness", "0 = white"),
        share=True,
    ).measured(value, around(value, replicates, how.confidence), replicates)
    yield Metric("darkness_heldout", "the same of unseen images", value=float(1 - data.unseen.mean() / data.top))


@pytest.fixture
def project(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr(measures, "MEASURES", (*measures.MEASURES, darkness))
    return measured_project(tmp_path, labelled_data=False, train=60, test=30)


def judged(paths: Paths, **limits: Any) -> dict[str, dict[str, Any]]:
    """The rules of the verdict by these limits, by name."""
    with pytest.raises(GateFailed):
        gate.run(MeasuredParams(gate=replace(GATE, **limits)), paths, NullTracker())
    return {rule["rule"]: rule for rule in json.loads(paths.gate.read_bytes())["rules"]}


@pytest.mark.usefixtures("undrawn")
def test_a_metric_is_measured_shown_compared_and_judged(project: Paths) -> None:
    off = replace(
        EVALUATE, kid_subset_size=20, bits_images=0, panels=replace(EVALUATE.panels, steps=(), trajectories=0)
    )
    params: Any = MeasuredParams(evaluate=off)
    for stage in (reference, evaluate, report):
        stage.run(params, project, NullTracker())
    numbers = json.loads(project.metrics.read_bytes())
    images = np.load(project.samples / "images.npz")["images"]
    assert numbers["darkness"] == pytest.approx(1 - images.mean() / 255)
    assert numbers["darkness_low"] < numbers["darkness"] < numbers["darkness_high"]
    # what is read back follows from the replicates
    follows = json.loads(project.record.read_bytes())["follows"]
    assert {follows[f"darkness_{end}"] for end in ("low", "high")} == {"around"}
    page = (project.report / "report.md").read_text()
    assert "| how dark the samples are on average |" in page
    assert "| not too dark | " in page
    assert "| 0 = white |" in page
    rules = judged(project, max_rough=0.01)
    text = f"the samples are {numbers['darkness']:.0%} dark, unseen images {numbers['darkness_heldout']:.0%}"
    assert (rules["not too dark"]["outcome"], rules["not too dark"]["text"]) == ("fail", f"{text}; allowed 0.01")
    assert judged(project, max_rough=1.0)["not too dark"]["outcome"] == "pass"
    rules = judged(project, absolute=(Limit("darkness", 0.99, None),))
    assert (rules["absolute darkness"]["outcome"], rules["absolute darkness"]["limit"]) == ("fail", 0.99)
    with open_runs((str(project.root), str(project.root)), params, project) as runs:
        text = Compared.of(runs, params.gate).text()
    assert "champion: darkness" not in text  # by the name of its rule
    assert "champion: not too dark" in text
    assert any(line.split()[:1] == ["darkness"] and line.endswith("0 to 0") for line in text.splitlines())
