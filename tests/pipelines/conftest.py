"""What tests of the pipelines share: the logging put back, and a real MLflow store."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tracked import empty_home


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """The command line sets up logging to the stderr of its test, which is closed after it, and the form of a line."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    formatters = [handler.formatter for handler in handlers]  # pytest's own handlers live as long as the process
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for handler, formatter in zip(handlers, formatters, strict=True):
        handler.setFormatter(formatter)


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of a store with tables and nothing in them."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("template")
    SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", (folder / "mlartifacts").as_uri())
    return folder / "mlflow.db"


@pytest.fixture
def home(store_template: Path, tmp_path: Path) -> Path:
    """A state folder whose store is empty."""
    return empty_home(store_template, tmp_path / "state")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chart of a report is drawn, for a test of its words."""
    monkeypatch.setattr("pipelines.report.parts.chart.png", lambda figure: b"a chart")
