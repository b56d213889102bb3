"""From data to a whole params.yaml and an estimate; what `ddpm init --data` writes and what it refuses."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines import cli
from pipelines.kinds import KINDS
from pipelines.kinds.choice import Chosen, ProfileRequest, path_from
from pipelines.kinds.place import inner_folder
from pipelines.kinds.points import Points
from pipelines.kinds.points.profiling.choose import choose
from pipelines.kinds.table_profile import profile
from pipelines.params import load_params, read_yaml
from pipelines.paths import Paths
from pipelines.profiling import plan
from pipelines.profiling.plan import plan_of
from pipelines.projects.room import lack_of_project
from tests.pipelines.profiling.test_pictures import blobs, save
from tests.pipelines.profiling.test_tables import write_hours, write_points
from tests.support.imports import ROOT


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_device", lambda: "cpu")


def data(kind: str, folder: Path) -> Path:
    if kind == "pictures":
        return save(folder / "discs", blobs(120))
    if kind == "series":
        return write_hours(folder / "load.csv", 24 * 60)
    return write_points(folder / "points.csv", 200, lambda i: f"{np.sin(i):.5f},{np.cos(3 * i):.5f}", "u,v")


@pytest.mark.parametrize("kind", ["pictures", "series", "points"])
def test_a_plan_is_a_whole_good_params_file_with_a_comment_on_every_line_that_a_preset_has_one(
    kind: str, tmp_path: Path
) -> None:
    found = plan_of(data(kind, tmp_path), tmp_path / "project")
    (tmp_path / "params.yaml").write_text(found.params)
    params = load_params(tmp_path / "params.yaml")
    assert params.kind == kind
    assert (tmp_path / "project" / params.source.path).resolve().exists()
    bare = [line for line in found.params.splitlines() if line.startswith("  ") and "#" not in line]
    assert len(bare) < 0.15 * len(found.params.splitlines())
    assert found.text.startswith("Found\n")
    assert "\nChosen\n" in found.text


def test_the_command_writes_a_project_for_the_data_beside_it_and_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "_cost", lambda *_: SimpleNamespace(text=lambda: "\nCost\n", disk=1e6))
    place, folder = data("points", tmp_path), tmp_path / "mine"
    assert cli.main(["init", str(folder), "--data", str(place), "--dry-run"]) == 0
    assert not folder.exists()
    assert cli.main(["init", str(folder), "--data", str(place)]) == 0
    said = capsys.readouterr().out
    assert "\nCost\n" in said
    assert read_yaml(folder / "params.yaml")["source"]["path"] == "../points.csv"
    assert lack_of_project(Paths.of(folder)) is None
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=59_000))
    assert "a run needs about 1 MB of disk, but 0 MB are free" in str(lack_of_project(Paths.of(folder)))
    assert cli.main(["init", str(tmp_path / "other"), "--data", str(place), "--dry-run"]) == 0
    assert "warning: a run needs about 1 MB of disk" in capsys.readouterr().err
    assert "# mine\n\nA diffusion model of points in the plane." in (folder / "README.md").read_text()
    assert cli.main(["init", str(folder), "--data", str(place)]) == 2
    assert "--update" in capsys.readouterr().err


def test_a_path_is_relative_where_data_and_project_can_be_moved_together(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "project"
    assert path_from(folder, folder / "raw") == "raw"
    assert path_from(folder, tmp_path / "a" / "raw") == "../raw"
    assert path_from(folder, tmp_path / "b") == str(tmp_path / "b")


@pytest.mark.parametrize(
    ("place", "project", "error", "message"),
    [
        ("nothing", "p", ParamsError, "there is nothing"),
        ("pictures", "pictures/p", ParamsError, "must not contain the project's folder"),
        ("pictures", "pictures", ParamsError, "must not contain the project's folder"),
        ("p/data/prepared", "p", ParamsError, "outside of the project's outputs"),
        ("texts", "p", DataError, "must hold pictures"),
    ],
)
def test_places_that_cannot_be_data_are_refused(
    place: str, project: str, error: Any, message: str, tmp_path: Path
) -> None:
    save(tmp_path / "pictures", blobs(3))
    save(tmp_path / "p" / "data" / "prepared", blobs(3))
    (tmp_path / "texts").mkdir()
    with pytest.raises(error, match=message):
        plan_of(tmp_path / place, tmp_path / project)


def test_another_kind_is_asked_for_its_data_and_named_where_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waves(Points):
        name = "waves"

        def data_words(self) -> str:
            return "waves (.wave)"

        def parameters_for(self, request: ProfileRequest) -> Chosen | None:
            return chosen if request.data.suffix == ".wave" else None

    chosen = choose(profile(data("points", tmp_path)), "points.csv")
    monkeypatch.setattr(plan, "KINDS", {**KINDS, "waves": Waves()})
    (tmp_path / "a.wave").write_text("1")
    (tmp_path / "a.text").write_text("1")
    assert plan_of(tmp_path / "a.wave", tmp_path / "project").about == chosen.about
    with pytest.raises(DataError, match=r"must hold pictures \(.*\) or tables \(.csv, .parquet\) or waves \(.wave\)"):
        plan_of(tmp_path / "a.text", tmp_path / "project")


def test_the_estimate_is_what_is_timed_times_what_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from pipelines.profiling import cost

    monkeypatch.setattr(cost, "_start_seconds", lambda: 1.0)
    found = plan_of(data("points", tmp_path), tmp_path / "project")
    (tmp_path / "params.yaml").write_text(found.params)
    params = load_params(tmp_path / "params.yaml")
    spec, arrays, counts = plan._of_table(params, tmp_path / "points.csv")
    assert counts[0] + counts[1] == 200
    of = cost.measure(params, spec, arrays)
    assert of.step > 0
    assert of.evaluation > 0
    assert of.parameters > 1000
    monkeypatch.setattr(cost, "measure", lambda *_: replace(of, step=0.5, evaluation=0.01))
    found_cost = cost.cost_of(params, spec, arrays, counts, 3.0)
    assert found_cost.stages["train"] == pytest.approx(params.train.steps * 0.5, abs=3)
    assert found_cost.stages["prepare"] == pytest.approx(3.0, abs=2)
    wanted = 0.01 * counts[1] * params.sample.sampler.steps
    assert found_cost.stages["evaluate"] == pytest.approx(wanted, abs=3)
    assert "time: about" in found_cost.text()


def test_each_guided_step_counts_twice() -> None:
    from pipelines.profiling.cost import _evaluations

    params = load_params(ROOT / "params.yaml")
    assert _evaluations(params) == pytest.approx(10 * (1 + 0.65))


@pytest.mark.parametrize(
    ("seconds", "brief", "duration"),
    [
        (0.0036, "3.6 ms", "0 s"),
        (0.271, "271 ms", "0 s"),
        (39.3, "39 s", "39 s"),
        (5 * 3600, "18000 s", "5.0 h"),
        (3.2e7, "32000000 s", "370 days"),
    ],
)
def test_times_are_said_in_units_that_fit(seconds: float, brief: str, duration: str) -> None:
    from pipelines.profiling.cost import _brief, _duration

    assert (_brief(seconds), _duration(seconds)) == (brief, duration)


@pytest.mark.parametrize("kind", ["pictures", "series", "points"])
def test_a_folder_around_the_folder_of_the_data_stands_for_that_one_whatever_they_are(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "around" / "mine").mkdir(parents=True)
    inner = tmp_path / "around" / "mine" / "deep"
    data(kind, inner) if kind == "pictures" else (inner.mkdir(), data(kind, inner))
    found = plan_of(tmp_path / "around", tmp_path / "project")
    (tmp_path / "params.yaml").write_text(found.params)
    place = tmp_path / "project" / load_params(tmp_path / "params.yaml").source.path
    expected = inner if kind == "pictures" else inner.parent
    assert place.resolve() == inner_folder(tmp_path / "around") == expected
