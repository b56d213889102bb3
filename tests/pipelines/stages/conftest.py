"""One small training and one measured project, shared by the tests that look at them."""

import pytest

from pipelines.paths import Paths
from pipelines.stages import evaluate, reference, train
from pipelines.tracking.tracker import NullTracker
from tests.support.measured import MeasuredParams, measured_project
from tests.support.small_training import Recorder, params, project


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Recorder]:
    paths = project(tmp_path_factory.mktemp("trained"))
    recorder = Recorder()
    train.run(params(), paths, recorder)
    return paths, recorder


@pytest.fixture(scope="package")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = measured_project(tmp_path_factory.mktemp("labelled"))
    reference.run(MeasuredParams(), paths, NullTracker())
    return paths


@pytest.fixture(scope="package")
def own_record(ready: Paths) -> bytes:
    """What the project records of its own bundle, whose network knows nothing."""
    evaluate.run(MeasuredParams(), ready, NullTracker())
    return ready.record.read_bytes()


@pytest.fixture(scope="module")
def bad(ready: Paths, own_record: bytes) -> Paths:
    """The project measured with its own bundle, whatever tests of another module measured since."""
    if ready.record.read_bytes() != own_record:
        evaluate.run(MeasuredParams(), ready, NullTracker())
    return ready
