"""Any bundle is measured beside the project's data, in a folder of its own, and as the stage does it."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddpm_core.errors import DataError, GateFailed, ParamsError
from pipelines import cli
from pipelines.commands import evaluation
from pipelines.paths import Paths
from pipelines.stages import evaluate
from tests.support.imports import ROOT
from tests.support.measured import (
    MeasuredParams,
)
from tests.support.tiny_bundle import tiny_bundle, tiny_spec


def test_any_bundle_is_measured_in_a_folder_of_its_own_and_as_the_stage_does_it(bad: Paths, tmp_path: Path):
    stage = {path.name: path.read_bytes() for path in (bad.metrics, bad.record)}
    out = tmp_path / "theirs"
    args = argparse.Namespace(bundle=str(bad.bundle), out=str(out))
    with pytest.raises(GateFailed, match="does not pass the gate"):
        evaluation.done_otherwise(args, MeasuredParams(), bad)
    assert {name: (out / name).read_bytes() for name in stage} == stage
    assert (out / "samples" / "grid.png").is_file()
    assert {path.name: path.read_bytes() for path in (bad.metrics, bad.record)} == stage


@pytest.mark.parametrize(("outcome", "code"), [("pass", 0), ("fail", 3), ("undecided", 3)])
def test_a_script_can_tell_the_verdict_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: str, code: int
) -> None:
    judged = SimpleNamespace(passed=outcome == "pass", outcome=outcome, table=lambda: f"verdict: {outcome.upper()}")
    monkeypatch.setattr(evaluate, "measure_bundle", lambda *words: None)
    monkeypatch.setattr("pipelines.gate.record.judged_in", lambda *words: judged)
    words = ["evaluate", "--bundle", "b", "--out", str(tmp_path / "out"), "--project", str(ROOT)]
    assert cli.main(words) == code
    assert capsys.readouterr().out == f"verdict: {outcome.upper()}\n"


@pytest.mark.parametrize(
    ("bundle", "out", "message"),
    [
        ("b", None, "--bundle: needs --out FOLDER"),
        (None, "somewhere", "--out: belongs to --bundle"),
        ("b", "{root}/out/theirs", "--out: must be a folder outside the stages' own out/ and data/"),
        ("b", "{root}", "--out: must be a folder outside"),
    ],
)
def test_where_another_bundle_may_be_measured(bad: Paths, bundle: str | None, out: str | None, message: str):
    args = argparse.Namespace(bundle=bundle, out=out and out.format(root=bad.root))
    with pytest.raises(ParamsError, match=message):
        evaluation.done_otherwise(args, MeasuredParams(), bad)


def test_without_a_bundle_named_the_stage_itself_runs(bad: Paths):
    assert not evaluation.done_otherwise(argparse.Namespace(bundle=None, out=None), MeasuredParams(), bad)


def test_a_bundle_of_pictures_of_another_shape_is_refused(bad: Paths, tmp_path: Path):
    tiny_bundle(tmp_path / "b", conditional=False, spec=tiny_spec(side=4, classes=()))
    with pytest.raises(
        DataError, match=r"it makes pictures of \(1, 4, 4\) and 0 classes, data/shards holds pictures of"
    ):
        evaluate.measure_bundle(MeasuredParams(), bad, tmp_path / "b", tmp_path / "out")
