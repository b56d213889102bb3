"""Small bundles of series and services of them, shared by the tests that serve them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from tests.support.series_bundle import open_, series_bundle, series_spec


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    series_bundle(folder / "forecast", series_spec("forecast"))
    series_bundle(folder / "impute", series_spec("impute"))
    series_bundle(folder / "several", series_spec("forecast", classes=("nsw", "vic"), calendar=()))
    return folder


@pytest.fixture(scope="module")
def clients(bundles: Path) -> Iterator[dict[str, Any]]:
    limits = Limits(cost=3000, waiting=2, at_once=1, seconds=30.0, body_bytes=None)
    opened = {task: TestClient(create_app(open_(bundles, task), limits)) for task in ("forecast", "impute", "several")}
    for client in opened.values():
        client.__enter__()
    yield opened
    for client in opened.values():
        client.__exit__(None, None, None)
