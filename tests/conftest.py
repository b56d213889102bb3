"""What every test stands on: quiet tools, one thread, and a home of its own for all state."""

import gc
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipelines.runtime.environment import limit_threads, quieten

# Before any test module imports numpy or torch: their thread pools are made on import.
quieten()
limit_threads(1)
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("TQDM_DISABLE", "1")

_homes = count()
_dead: list[str] = []


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$DDPM_HOME is a fresh folder, so no test sees the user's state or another test's."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_homes))  # mktemp would list all before it
    home.mkdir(parents=True)
    monkeypatch.setenv("DDPM_HOME", str(home))
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, so that no process is left with it at the end."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


def pytest_collection_finish() -> None:
    """What all modules hold is no garbage: a search for cycles, which takes half a second with it, passes it over."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A process of pytest-xdist has ended; there is an error where it was not asked to."""
    if error:
        _dead.append(f"process {node.gateway.id} of the tests died ({error}); the tests that it had left were not run")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _dead:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for text in _dead:
        terminalreporter.write_line(text, red=True)
