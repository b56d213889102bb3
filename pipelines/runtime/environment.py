"""The environment of every process of this project: no tool reports to its maker, no thread waits long by spinning.

Set by `main` before any tool is imported; what the user has set already is kept.
"""

import os
from pathlib import Path

QUIET = {
    "DO_NOT_TRACK": "true",  # this literal serves Prefect and MLflow
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "KINETO_LOG_LEVEL": "99",  # torch's profiler would say that it began and ended, and that there is no GPU
    # Spins of a waiting thread before it sleeps. Without a limit two threads beside other work cost up to fifty times
    # the time; with none at all (OMP_WAIT_POLICY=PASSIVE) the second thread is worth nothing in training.
    "GOMP_SPINCOUNT": "2000",
}

# How many threads numpy's and torch's libraries may have; read when they are imported.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def quieten() -> None:
    """Set these variables where the environment does not."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def limit_threads(threads: int) -> None:
    """Give numpy's and torch's libraries so many threads; to be called before either is imported."""
    if threads >= 1:
        for name in THREADS:
            os.environ.setdefault(name, str(threads))


def prepare_prefect(home: Path) -> None:
    """Prefect's own state under our home, and time enough for its temporary server to start on a busy machine."""
    os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true")
