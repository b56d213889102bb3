"""A sampler over one small bundle, shared by the tests that ask it alone."""

import pytest

from pipelines.sampling.bundle_sampler import Sampler
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    tiny_bundle(folder, golden=True)
    return Sampler.open(folder, "cpu")
