"""One small training, shared by the tests that look at it."""

import pytest

from pipelines.paths import Paths
from pipelines.stages import train
from tests.support.small_training import Recorder, params, project


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Recorder]:
    paths = project(tmp_path_factory.mktemp("trained"))
    recorder = Recorder()
    train.run(params(), paths, recorder)
    return paths, recorder
