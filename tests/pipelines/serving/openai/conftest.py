"""A real server of one small bundle."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from tests.support.served import LIMITS, listening


@pytest.fixture(scope="package")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    from tests.support.tiny_bundle import tiny_bundle

    return Sampler(tiny_bundle(tmp_path_factory.mktemp("openai") / "b"), "cpu")


@pytest.fixture(scope="package")
def address(sampler: Sampler) -> Iterator[str]:
    with listening(create_app(sampler, replace(LIMITS, waiting=20))) as address:
        yield address
