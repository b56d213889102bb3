"""Tracking: never in the way of the work, complete in the end, rebuilt from outputs where a store never saw the run."""

import json
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import DataError, Stopped
from ddpm_core.files import sha256_file
from pipelines.params import as_flat, load_params, stage_sections
from pipelines.tracking import stage_records as outputs
from pipelines.tracking import tracker as tracking
from pipelines.tracking.journal import StoreDown, ship_left_behind, waiting
from pipelines.tracking.mlflow_store import WEIGHTS_TAG
from pipelines.tracking.run_names import run_name
from pipelines.tracking.tracker import connect, open_tracker
from tests.support.imports import ROOT
from tests.support.tracked import FewParams, judged_project

KEY, WEIGHTS = "a" * 64, "b" * 64


def only_run(home: Path) -> Any:
    store = connect(home)
    (run,) = store.client.search_runs([store.experiment])
    return run


def history(home: Path, run: Any, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in connect(home).client.get_metric_history(run.info.run_id, name)]


def files_of(home: Path, run: Any) -> set[str]:
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_training_run_is_complete_and_tells_what_it_is(home: Path, tmp_path: Path) -> None:
    grid = tmp_path / "step-10.png"
    grid.write_bytes(b"png")
    tags = {"data.digest": "d" * 64, "git.commit": "c0ffee"}
    with open_tracker(True, home).training_run(KEY, {"train.lr": 0.1, "model.note": "x" * 9000}, tags) as run:
        run.log_metrics({"loss": 0.5, "odd name!": 1.0, "no number": None}, 10)  # type: ignore[dict-item]
        run.log_metrics({"loss": 0.25, "lost": float("nan")}, 20)
        run.log_file(grid, "samples")
        run.finished(WEIGHTS)
    found = only_run(home)
    assert found.info.status == "FINISHED"
    assert history(home, found, "loss") == [(10, 0.5), (20, 0.25)]
    assert found.data.metrics["odd name_"] == 1.0
    assert found.data.params["train.lr"] == "0.1"
    assert len(found.data.params["model.note"]) == 6000
    assert found.data.tags["ddpm.checkpoint_key"] == KEY
    assert found.data.tags["ddpm.weights"] == WEIGHTS
    assert found.info.run_name == f"train-{KEY[:8]}"
    assert any(name.startswith("system/cpu") for name in found.data.metrics)
    assert {"samples/step-10.png", "params/long.json"} <= files_of(home, found)
    (dataset,) = found.inputs.dataset_inputs
    assert dataset.dataset.digest == "d" * 32
    from mlflow.data import get_source

    assert "dvc checkout" in get_source(dataset.dataset).load()
    assert waiting(home / "spool") == []


def test_a_run_is_named_after_what_trainings_most_often_differ_in() -> None:
    params = as_flat(load_params(ROOT / "params.yaml").restrict(stage_sections(ROOT)["train"]))
    changed = {**params, "train.lr": 0.001, "train.steps": 10, "model.channels": 64}
    assert re.fullmatch(r"unet 32 v muon lr 0\.002 \d+x64 0123abcd", run_name("0123abcdef", params))
    assert run_name("0123abcdef", changed) == "unet 64 v muon lr 0.001 10x64 0123abcd"


@pytest.mark.parametrize(("error", "status"), [(Stopped("x"), "KILLED"), (ValueError("x"), "FAILED")])
def test_an_unfinished_run_of_the_same_key_is_continued(home: Path, error: Exception, status: str) -> None:
    tracker = open_tracker(True, home)

    def interrupted() -> None:
        with tracker.training_run(KEY, {"threads": 1}, {}) as run:
            run.log_metrics({"loss": 1.0}, 1)
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert only_run(home).info.status == status
    with tracker.training_run(KEY, {"threads": 2}, {}) as run:
        run.log_metrics({"loss": 0.5}, 2)
        run.finished(WEIGHTS)
    found = only_run(home)
    assert found.info.status == "FINISHED"
    assert history(home, found, "loss") == [(1, 1.0), (2, 0.5)]
    assert found.data.params["threads"] == "1"
    assert found.data.tags["changed.threads"] == "2"
    with tracker.training_run(KEY, {}, {}) as run:
        run.finished(WEIGHTS)
    store = connect(home)
    assert len(store.client.search_runs([store.experiment])) == 2  # a finished one is never written over


def test_a_dead_store_holds_nothing_up_and_loses_nothing(
    home: Path, nobody_listens: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = open_tracker(True, home)
    began = time.monotonic()
    with tracker.training_run(KEY, {"train.lr": 0.1}, {}) as run:
        logging_began = time.monotonic()
        for step in range(3000):
            run.log_metrics({"loss": 1.0 / (step + 1)}, step)
        logging_took = time.monotonic() - logging_began
        run.finished(WEIGHTS)
    assert logging_took < 5
    assert time.monotonic() - began < 20
    assert "must answer, but it does not" in caplog.text
    assert "they are kept in" in caplog.text
    assert len(waiting(home / "spool")) == 1

    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # the store is back
    with tracker.training_run("c" * 64, {}, {}) as run:
        run.log_metrics({"loss": 9.0}, 1)
    assert waiting(home / "spool") == []
    store = connect(home)
    found = store.run_by_weights(WEIGHTS)
    assert found is not None
    assert found.info.status == "FINISHED"
    assert found.data.params["train.lr"] == "0.1"
    assert len(history(home, found, "loss")) == 3000


def test_a_store_that_never_answers_is_waited_for_a_bounded_time(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    never = threading.Event()
    monkeypatch.setattr(tracking, "_CLOSE_LIMIT_S", 0.3)

    def hang(_: Path) -> None:
        never.wait(30)
        raise StoreDown("too late")

    monkeypatch.setattr(tracking, "connect", hang)
    began = time.monotonic()
    with open_tracker(True, home).training_run(KEY, {}, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)
    assert time.monotonic() - began < 5
    assert "they are kept in" in caplog.text
    never.set()


def test_a_journal_whose_sender_is_slow_is_not_taken_over_by_the_next_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = judged_project(tmp_path / "project", home)
    slow, done = threading.Event(), connect(home)
    monkeypatch.setattr(tracking, "_CLOSE_LIMIT_S", 0.3)

    def connects_late(_: Path) -> Any:
        slow.wait(30)
        return done

    monkeypatch.setattr(tracking, "connect", connects_late)
    open_tracker(True, home).publish(paths, FewParams(), "evaluate")
    assert len(waiting(home / "spool")) == 2  # of stage train and of stage evaluate
    assert ship_left_behind(home / "spool", done) == 0  # both belong to senders that live
    slow.set()
    until = time.monotonic() + 20
    while waiting(home / "spool") and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert waiting(home / "spool") == []
    found = only_run(home)
    assert history(home, found, "loss") == [(10, 0.5), (20, 0.25)]
    assert history(home, found, "evaluate/n") == [(0, 100.0)]


def test_a_restored_run_has_params_curves_metrics_and_pictures(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "project", home)
    tracker = open_tracker(True, home)
    run_id = tracker.restore(paths)
    found = only_run(home)
    assert found.info.run_id == run_id
    assert found.info.status == "FINISHED"
    assert found.data.tags["restored"] == "true"
    assert found.info.run_name.startswith("restored-")
    assert found.data.params["train.lr"] == "0.001"
    assert history(home, found, "loss") == [(10, 0.5), (20, 0.25)]
    assert history(home, found, "grad_norm") == [(10, 1.0)]
    assert found.data.metrics["evaluate/energy_classifier"] == 0.05
    assert found.data.tags["gate"] == "pass"
    assert found.data.tags["data.digest"] == "d" * 64
    assert found.inputs.dataset_inputs[0].dataset.digest == "d" * 32
    assert {"samples/grid.png", "curves/curves.csv", "report/index.html", "gate/gate.json"} <= files_of(home, found)

    assert tracker.restore(paths) == run_id
    assert history(home, only_run(home), "loss") == [(10, 0.5), (20, 0.25)]  # told twice, logged once


def test_publishing_adds_to_the_run_that_trained_the_weights(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "project", home)
    tracker = open_tracker(True, home)
    with tracker.training_run(KEY, {}, {}) as run:
        run.log_metrics({"loss": 0.5}, 10)
        run.finished(sha256_file(paths.weights))
    for _ in range(2):
        tracker.publish(paths, FewParams(), "evaluate")
    found = only_run(home)
    assert "restored" not in found.data.tags
    assert history(home, found, "loss") == [(10, 0.5)]
    assert history(home, found, "evaluate/n") == [(0, 100.0)]
    paths.metrics.write_text('{"n": 200}')
    tracker.publish(paths, FewParams(), "evaluate")
    assert only_run(home).data.metrics["evaluate/n"] == 200


def test_the_stages_of_weights_that_no_run_trained_share_one_run(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "project", home)
    tracker = open_tracker(True, home)
    for stage in ("evaluate", "gate"):
        tracker.publish(paths, FewParams(), stage)
    found = only_run(home)
    assert (found.data.tags["restored"], found.data.tags["gate"]) == ("true", "pass")
    assert history(home, found, "evaluate/n") == [(0, 100.0)]


def test_the_run_of_weights_is_one_that_has_finished(home: Path) -> None:
    store = connect(home)
    made = store.client.create_run(store.experiment, tags={WEIGHTS_TAG: WEIGHTS})
    assert store.run_by_weights(WEIGHTS) is None
    store.client.set_terminated(made.info.run_id, "FINISHED")
    found = store.run_by_weights(WEIGHTS)
    assert found is not None
    assert found.info.run_id == made.info.run_id


def test_publishing_into_a_dead_store_stops_no_stage(
    home: Path, tmp_path: Path, nobody_listens: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = judged_project(tmp_path / "project", home)
    open_tracker(True, home).publish(paths, FewParams(), "evaluate")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert ship_left_behind(home / "spool", connect(home)) == 2
    found = only_run(home)
    assert found.data.metrics["evaluate/n"] == 100
    assert "loss" in found.data.metrics


def test_weights_are_known_from_the_bundle_where_they_were_not_fetched(tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "project", tmp_path / "home")
    assert outputs.weights_digest(paths) == sha256_file(paths.weights)
    paths.weights.unlink()
    described = paths.bundle / "bundle.json"
    described.write_text(json.dumps({"provenance": {"weights_sha256": "0" * 64}}))
    assert outputs.weights_digest(paths) == "0" * 64
    shutil.rmtree(paths.bundle)
    with pytest.raises(DataError, match=r"file not found, .* trained weights"):
        outputs.weights_digest(paths)
