"""Why an MLflow store does not answer: down for a while, gone, damaged, or read-only."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException

from pipelines.runtime.disk import damaged, damaged_store, sqlite_file, unwritable
from pipelines.tracking.journal import RunGone, StoreAway, StoreDown

_PROBE_S = 2.0
_BUSY = {502, 503, 504}
_GONE = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise errors of MLflow, a database or the network as StoreDown (or RunGone, if the run does not exist)."""
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if error.error_code in _GONE:
            raise RunGone(str(error)) from error
        raise _unusable(uri, error) from error
    except (RequestException, SQLAlchemyError, OSError) as error:
        raise _unusable(uri, error) from error


def _may_answer_later(error: BaseException | None) -> bool:
    """Whether the cause is the network, a server that starts or stops, or a database in use."""
    from requests.exceptions import RequestException

    if isinstance(error, MlflowException):
        cause = error.__cause__ or error.__context__
        status = error.get_http_status_code()  # type: ignore[no-untyped-call]
        return status in _BUSY or isinstance(cause, RequestException)
    return isinstance(error, RequestException | OSError)


def _unusable(uri: str, error: Exception) -> StoreDown:
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    file = sqlite_file(uri)
    if file is None:
        kind = StoreAway if _may_answer_later(error) else StoreDown
        return kind(f"The MLflow store {uri} must answer, but it does not ({said}).")
    if fault := damaged(file):
        return StoreDown(*damaged_store(file, fault))
    if "database is locked" in said:
        return StoreAway(f"The MLflow store {file} must not be locked for long, but it is ({said}).", "Run it again.")
    return _not_to_be_written(file, said)


def _not_to_be_written(file: Path, why: str) -> StoreDown:
    return StoreDown(
        f"The MLflow store {file} must be a file that can be read and written, but it is not ({why}).",
        "Make room on its disk and give yourself the right to write there, or set DDPM_HOME to another folder.",
    )


def probe(uri: str) -> None:
    """Check within seconds that there is a store: MLflow would retry a dead server or a bad file for minutes."""
    if (file := sqlite_file(uri)) is not None:
        if fault := damaged(file, whole=False):
            raise StoreDown(*damaged_store(file, fault))
        if fault := unwritable(file):
            raise _not_to_be_written(file, fault)
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_PROBE_S).close()
    except OSError as error:
        raise _unusable(uri, error) from error
