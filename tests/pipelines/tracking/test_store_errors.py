"""A store that may answer later is told from one that will not: the first is worth another try."""

import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import ConnectionError as NoConnection

from ddpm_core.errors import StoreUnreachable, TrackingError
from pipelines.tracking.mlflow_errors import store_errors
from pipelines.tracking.store_access import store_must_answer

SERVER = "http://127.0.0.1:9"


def wrapped(cause: Exception) -> MlflowException:
    """As MLflow's client raises what the network raised."""
    error = MlflowException(f"API request to {SERVER} failed with exception {cause}")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (NoConnection("refused"), StoreUnreachable, 75),
        (wrapped(NoConnection("refused")), StoreUnreachable, 75),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "starting"}), StoreUnreachable, 75),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "who are you"}), TrackingError, 1),
        (MlflowException("a fault of the server"), TrackingError, 1),
    ],
)
def test_a_server_that_is_away_is_a_temporary_failure(error: Exception, kind: type[TrackingError], code: int) -> None:
    with pytest.raises(TrackingError, match=f"{SERVER} must answer") as told, store_must_answer(), store_errors(SERVER):
        raise error
    assert type(told.value) is kind
    assert told.value.exit_code == code


def test_a_database_in_use_is_a_temporary_failure_and_one_without_tables_is_not(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "mlflow.db").close()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(StoreUnreachable, match="database is locked"), store_must_answer(), store_errors(uri):
        raise MlflowException("(sqlite3.OperationalError) database is locked")
    with pytest.raises(TrackingError) as told, store_must_answer(), store_errors(uri):
        raise MlflowException("(sqlite3.OperationalError) no such table: experiments")
    assert told.value.exit_code == 1
