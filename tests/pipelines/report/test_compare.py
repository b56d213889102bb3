"""`ddpm compare`: runs by folder, run id, version or alias; refused unless measured alike; a table and a page."""

import re
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import DataError, ParamsError, StoreUnreachable, TrackingError
from pipelines import cli
from pipelines.paths import Paths
from pipelines.release.promotion import promote
from pipelines.report.compare import open_runs
from pipelines.report.compared import Compared
from pipelines.tracking.tracker import connect, open_tracker
from tests.support.imports import ROOT
from tests.support.tracked import FewParams, judged_project


def compared(one: Any, other: Any, paths: Paths) -> Compared:
    with open_runs((str(one), str(other)), FewParams(), paths) as runs:
        return Compared.of(runs, FewParams().gate)


@pytest.fixture
def two(tmp_path: Path, home: Path) -> tuple[Paths, Paths]:
    one, _ = judged_project(tmp_path / "one", home)
    other, _ = judged_project(
        tmp_path / "two", home, seed=1, metrics={"energy_classifier": 0.08, "accuracy_asked": 0.995}
    )
    return one, other


def test_two_folders_are_held_against_each_other(two: tuple[Paths, Paths]) -> None:
    one, other = two
    better = compared(one.root, other.root / "out", one)
    assert better.summary == "A is not worse than B by more than the gate allows"
    worse = compared(other.root, one.root, one)
    assert worse.summary == "A is worse than B by more than the gate allows"
    text = worse.text()
    assert re.search(r"energy_classifier +0\.08 +0\.05 +0\.03 +0\.03 to 0\.03\n", text)
    assert "champion: energy in classifier" in text
    assert "energy_classifier_low" not in text


def test_the_page_holds_both_grids_and_needs_nothing_beside_itself(two: tuple[Paths, Paths]) -> None:
    page = compared(two[0].root, two[1].root, two[0]).html()
    assert page.count('src="data:image/png;base64,') == 2
    for outside in ("http://", "https://", "<script", "@import", "url("):
        assert outside not in page
    assert page == compared(two[0].root, two[1].root, two[0]).html()


def test_runs_measured_under_other_conditions_are_refused_by_what_differs(tmp_path: Path, home: Path) -> None:
    one, _ = judged_project(tmp_path / "one", home)
    other, _ = judged_project(tmp_path / "two", home, seed=1, data="new")
    with pytest.raises(
        DataError, match=r"equal conditions to be compared, and these differ in:\n  data: absent against new"
    ):
        compared(one.root, other.root, one)


def test_what_is_no_run_is_told(tmp_path: Path, home: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    with pytest.raises(
        ParamsError, match=r"a run must be a folder with metrics.json.*or models:/NAME/VERSION, got 'nothing'"
    ):
        compared("nothing", paths.root, paths)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there must be a measurement"):
        compared(tmp_path / "empty", paths.root, paths)
    with pytest.raises(ParamsError, match="champion: tiny must have such a version, and the registry has none"):
        compared("champion", paths.root, paths)


def test_versions_aliases_and_run_ids_are_found_in_mlflow(tmp_path: Path, home: Path) -> None:
    one, _ = judged_project(tmp_path / "one", home)
    promote(FewParams(), one, open_tracker(True, home))
    weights = connect(home).client.get_model_version("tiny", "1").tags["weights"]
    run_id = connect(home).run_id_of_weights(weights)
    for name in ("champion", "1", "models:/tiny/champion", run_id):
        found = compared(name, one.root, one)
        assert found.summary.startswith("A is not worse")
        assert found.runs[0].measured.bundle == found.runs[1].measured.bundle


def test_a_store_that_does_not_answer_is_told(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match=r"must answer.*Start it") as told:
        compared("champion", paths.root, paths)
    assert told.value.exit_code == 75


def test_a_damaged_store_is_told_with_what_mends_it(tmp_path: Path, home: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    (home / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TrackingError, match=r"damaged.*Move it away") as told:
        compared("champion", paths.root, paths)
    assert told.value.exit_code == 1
    assert "Start it" not in str(told.value)


def test_a_run_that_does_not_exist_is_a_bad_argument_and_no_fault_of_the_store(tmp_path: Path, home: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    with pytest.raises(ParamsError, match="run not found") as told:
        compared("f" * 32, paths.root, paths)
    assert "Start it" not in str(told.value)


def test_the_verb_prints_the_table_and_writes_the_page(
    two: tuple[Paths, Paths], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = ["compare", str(two[0].root), str(two[1].root), "--project", str(ROOT), "--out", str(page)]
    assert cli.main(words) == 0
    assert "energy_classifier" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert cli.main([*words[:-1], str(page / "page.html")]) == 2
    assert "--out: must be a place that can be written, got " in capsys.readouterr().err
    assert cli.main([*words[:-1], "page.txt"]) == 2
    assert "must end in .html, got page.txt" in capsys.readouterr().err
