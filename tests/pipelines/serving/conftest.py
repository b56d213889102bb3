"""One small service, shared by the tests of it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from tests.support.served import LIMITS
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(tiny_bundle(tmp_path_factory.mktemp("served") / "b", golden=True), "cpu")


@pytest.fixture(scope="module")
def client(sampler: Sampler) -> Iterator[TestClient]:
    with TestClient(create_app(sampler, LIMITS)) as made:
        yield made
