"""Stages reference, evaluate, report and gate on series, by a tiny bundle whose forecasts are no good."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddpm_core.errors import GateFailed
from pipelines.evaluation.authenticity import check_bundle
from pipelines.gate.record import read_measurement
from pipelines.kinds.facts import SourceFacts, write_facts
from pipelines.kinds.manifest import Counts, Manifest, write_manifest
from pipelines.kinds.series.reference.config import ReferenceConfig
from pipelines.kinds.series.rows.row import WindowRow
from pipelines.paths import Paths
from pipelines.report.compared import Compared, NamedRun
from pipelines.report.config import ReportConfig
from pipelines.shards.archive import Example, ShardConfig, write_shards
from pipelines.stages import evaluate, gate, reference, report
from pipelines.tracking.tracker import NullTracker
from tests.pipelines.kinds.series.judging import CONFIGS, GATE, TASKS, data
from tests.support.drift import write_validation
from tests.support.measured import RUNTIME, files_of
from tests.support.series_bundle import series_bundle


def project(root: Path, task: str) -> Paths:
    """Shards of an AR(1), manifest, contract, curve and a bundle."""
    paths, spec = Paths(root, root / ".ddpm"), TASKS[task]
    splits, rows = {}, []
    for name, split in zip(("train", "test"), data(task), strict=True):
        splits[name] = [
            Example(key, {each: array[nth] for each, array in split.arrays.items()})
            for nth, key in enumerate(split.keys)
        ]
        rows += [_row(key, name) for key in split.keys]
    write_shards(paths.shards, spec, splits, ShardConfig(1000, 100, 1000))
    write_manifest(paths.manifest, Manifest(rows, spec, Counts(len(rows), len(rows), 0)))
    write_facts(paths.source_facts, SourceFacts(model_name="ddpm-ar"))
    paths.contract.parent.mkdir(parents=True, exist_ok=True)
    paths.contract.write_text(json.dumps({"passed": True, "expectations": []}))
    write_validation(paths.validation, [], [], b"")
    paths.curves.write_text("step,loss,grad_norm,lr\n" + "".join(f"{step},1.0,1.0,1e-3\n" for step in range(1, 9)))
    series_bundle(paths.bundle, spec)
    return paths


def _row(key: str, split: str) -> WindowRow:
    digests = dict.fromkeys(("sha256", "source_sha256", "content_sha256"), "0")
    return WindowRow(
        key=key, path="0.npz", label=-1, class_name="", split=split, source="AR", series="", start="2020-01-01",
        first=0, target=24, end=32, missing=0.1, deviations=3.0, longest_gap=2, series_missing=0.1, irregular=0.0,
        backward=0.0, constant=0, **digests,
    )  # fmt: skip


def params(task: str, **changes: Any) -> Any:
    config = replace(CONFIGS[task], n=40, samples_each=10, resamples=40, **changes)
    return SimpleNamespace(
        reference=ReferenceConfig("auto", 0), evaluate=config, gate=GATE, report=ReportConfig(None, None, None, None),
        runtime=RUNTIME, sections=lambda: {"gate": {"model_name": None}},
    )  # fmt: skip


@pytest.mark.parametrize("task", ["forecast", pytest.param("impute", marks=pytest.mark.slow)])
def test_the_stages_judge_series_and_refuse_a_bad_forecaster(task: str, tmp_path: Path) -> None:
    paths = project(tmp_path, task)
    for stage in (reference, evaluate, report):
        stage.run(params(task), paths, NullTracker())
    first = files_of(paths.samples), paths.metrics.read_bytes(), paths.record.read_bytes()
    with pytest.raises(GateFailed, match="skill"):
        gate.run(params(task), paths, NullTracker())
    judged = json.loads(paths.gate.read_bytes() if paths.gate.is_file() else (paths.logs / "gate.json").read_bytes())
    outcomes = {rule["rule"]: rule["outcome"] for rule in judged["rules"]}
    assert (outcomes["skill"], outcomes["whole"], outcomes["controls"]) == ("fail", "pass", "pass")
    assert judged["headline"].startswith("fills gaps well: no" if task == "impute" else "forecasts well: no")
    page = (paths.report / "index.html").read_text()
    assert "The model beside baselines" in page
    assert "e is the energy distance" not in page
    evaluate.run(params(task), paths, NullTracker())
    assert (files_of(paths.samples), paths.metrics.read_bytes(), paths.record.read_bytes()) == first
    found = read_measurement(paths.metrics, paths.record, paths.samples)
    check_bundle(paths.bundle, found.bundle, paths.record)
    run = NamedRun("one", found, (paths.samples / "grid.png").read_bytes())
    compared = Compared.of((run, run), params(task).gate)
    assert "A is not worse than B" in compared.summary
    assert "crps" in compared.text()
