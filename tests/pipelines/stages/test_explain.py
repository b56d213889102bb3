"""`ddpm explain` on a model that knows nothing, and on one that nothing blocks."""

import json
import shutil
from dataclasses import replace

import pytest

from pipelines.cli import main
from pipelines.params import load_params
from pipelines.paths import Paths
from tests.support.imports import ROOT
from tests.support.measured import EVALUATE, GATE

COMMAND = "pipelines.commands.explain"


@pytest.fixture
def project(bad: Paths, monkeypatch: pytest.MonkeyPatch) -> Paths:
    params = replace(load_params(ROOT / "params.yaml"), gate=GATE, evaluate=EVALUATE)
    monkeypatch.setattr(f"{COMMAND}.project_paths", lambda _args: bad)
    monkeypatch.setattr(f"{COMMAND}.checked_params", lambda _paths: params)
    return bad


def test_each_rule_that_blocks_is_told_with_what_it_measures_and_what_to_try(
    project: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "fail"
    assert found["try"]
    assert main(["explain"]) == 0
    text = capsys.readouterr().out
    for rule in found["rules"]:
        blocks = rule["outcome"] in ("fail", "not enough evidence")
        assert (f"  {rule['rule']}: {rule['outcome']}\n" in text) == blocks
    assert "What it measures: distance to unseen data" in text
    for number, remedy in enumerate(found["try"], 1):
        assert f"{number}. {remedy['change']}" in text


def test_it_writes_nothing_and_needs_no_curve(project: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    """A model from elsewhere has none."""
    project.curves.unlink()
    before = sorted(project.root.rglob("*"))
    assert main(["explain"]) == 0
    assert sorted(project.root.rglob("*")) == before
    assert "train.steps" in capsys.readouterr().out


def test_a_model_that_was_not_measured_is_told(project: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project.samples)
    project.metrics.unlink()
    assert main(["explain"]) == 1
    assert "metrics.json" in capsys.readouterr().err
