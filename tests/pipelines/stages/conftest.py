"""One small training and one measured project, each made once; a test that changes it has a copy of its own."""

import shutil
from pathlib import Path

import pytest

from pipelines.paths import Paths
from pipelines.stages import evaluate, reference, report, train
from pipelines.tracking.tracker import NullTracker
from tests.support.measured import MeasuredParams, measured_project
from tests.support.small_training import Recorder, params, project


def copy_of(paths: Paths, folder: Path) -> Paths:
    shutil.copytree(paths.root, folder)
    return Paths(folder, folder / ".ddpm")


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Recorder]:
    paths = project(tmp_path_factory.mktemp("trained"))
    recorder = Recorder()
    train.run(params(sample_every=6), paths, recorder)  # the pictures on the way change no bit
    return paths, recorder


@pytest.fixture(scope="package")
def labelled_project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """After stage reference; no test changes it."""
    paths = measured_project(tmp_path_factory.mktemp("labelled"))
    reference.run(MeasuredParams(), paths, NullTracker())
    return paths


@pytest.fixture(scope="package")
def measured(labelled_project: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The same measured with its own bundle, whose network knows nothing; no test changes it."""
    paths = copy_of(labelled_project, tmp_path_factory.mktemp("measured") / "project")
    evaluate.run(MeasuredParams(), paths, NullTracker())
    return paths


@pytest.fixture(scope="package")
def reported(measured: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The same with its report; no test changes it."""
    paths = copy_of(measured, tmp_path_factory.mktemp("reported") / "project")
    report.run(MeasuredParams(), paths, NullTracker())
    return paths


@pytest.fixture
def ready(labelled_project: Paths, tmp_path: Path) -> Paths:
    return copy_of(labelled_project, tmp_path / "ready")


@pytest.fixture
def bad(measured: Paths, tmp_path: Path) -> Paths:
    return copy_of(measured, tmp_path / "bad")
