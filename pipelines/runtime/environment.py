"""The environment of every process of this project: no telemetry, and no long spinning of threads.

`main` sets it before any tool is imported; values that the user has set are kept.
"""

import os
from pathlib import Path

QUIET = {
    "DO_NOT_TRACK": "true",  # both Prefect and MLflow read this value
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "KINETO_LOG_LEVEL": "99",  # hides the start and end messages of torch's profiler
    # Spins of a waiting thread before it sleeps. Without a limit, two threads on a busy machine take up to fifty times
    # as long; without spinning (OMP_WAIT_POLICY=PASSIVE) a second thread gains nothing in training.
    "GOMP_SPINCOUNT": "2000",
}

# The number of threads of numpy's and torch's libraries, which read these when they are imported.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def quieten() -> None:
    """Set these variables unless the environment has them."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def limit_threads(threads: int) -> None:
    """Set the number of threads of numpy's and torch's libraries; call it before either is imported."""
    if threads >= 1:
        for name in THREADS:
            os.environ.setdefault(name, str(threads))


def prepare_prefect(home: Path) -> None:
    """Prefect's state under our home, and enough time for its temporary server to start on a busy machine."""
    os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true")
