"""Which store is written to, and what is told where it must answer and does not."""

from pathlib import Path

import pytest

from ddpm_core.errors import TrackingError
from pipelines.tracking.journal import StoreDown
from pipelines.tracking.tracker import NullTracker, connect, open_tracker, store_uri
from tests.pipelines.tracking.test_tracker import KEY, WEIGHTS
from tests.support.tracked import FewParams, judged_project


def test_tracking_turned_off_does_nothing_and_says_so_when_it_is_needed(tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "project", tmp_path / "home")
    tracker = open_tracker(False, paths.home)
    assert isinstance(tracker, NullTracker)
    with tracker.training_run(KEY, {}, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)
        run.log_params({})
        run.set_tags({})
        run.log_file(paths.metrics, "x")
        run.finished(WEIGHTS)
    tracker.publish(paths, FewParams(), "gate")
    assert list(paths.home.iterdir()) == []
    for needs_a_store in (tracker.store, lambda: tracker.restore(paths)):
        with pytest.raises(TrackingError, match=r"runtime\.tracking: false"):
            needs_a_store()


def test_a_store_that_must_answer_and_does_not_is_told_with_its_address(
    home: Path, tmp_path: Path, nobody_listens: str
) -> None:
    paths, _ = judged_project(tmp_path / "project", home)
    with pytest.raises(TrackingError, match=f"{nobody_listens} must answer.*Start it, or set MLFLOW_TRACKING_URI"):
        open_tracker(True, home).restore(paths)
    with pytest.raises(StoreDown):
        connect(home)


def test_the_store_is_a_file_under_home_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert store_uri(tmp_path) == "http://there:5000"
