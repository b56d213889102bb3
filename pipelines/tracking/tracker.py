"""Tracking that never blocks a stage: its records go to a local journal at once, and from there to MLflow.

    tracker = open_tracker(params.runtime.tracking, paths.home)
    with tracker.training_run(key, as_flat(params), tags) as run:
        run.log_metrics({"loss": 0.1}, step)          # never blocks, never raises
        run.finished(sha256_file(paths.weights))      # how later stages find this run

A run is found by content: during training by the key of its checkpoints, afterwards by the digest of its weights. This
file does not import MLflow; `mlflow_store` does, on the thread that sends.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ddpm_core.errors import Stopped, TrackingError
from pipelines.paths import Paths
from pipelines.runtime.environment import quieten
from pipelines.tracking import stage_records as outputs
from pipelines.tracking.journal import Event, Journal, Sink, StoreDown, now_ms, ship, ship_left_behind
from pipelines.tracking.run_names import described, run_name
from pipelines.tracking.stage_records import Run, Scalar, weights_digest
from pipelines.tracking.store_access import store_must_answer

if TYPE_CHECKING:
    from pipelines.tracking.mlflow_store import MlflowStore

_log = logging.getLogger(__name__)
_SEND_EVERY_S = 2.0
_LONGEST_PAUSE_S = 60.0
_SYSTEM_EVERY_S = 10.0
_CLOSE_LIMIT_S = 60.0  # a new store on a busy machine needs half of it


class Tracker(Protocol):
    """The interface of a stage to tracking."""

    def training_run(
        self, key: str, params: Mapping[str, Scalar], tags: Mapping[str, str]
    ) -> AbstractContextManager[Run]:
        """The run of this training: an unfinished one with the same key is continued, else a new one starts."""

    def publish(self, paths: Paths, params: Any, stage: str) -> None:
        """Log the outputs of a stage to the run of the present weights; a second call changes nothing."""

    def restore(self, paths: Paths) -> str:
        """Complete the run of the present weights in the store and give its id; TrackingError if it cannot."""

    def store(self) -> "MlflowStore":
        """The store itself, for the registry; TrackingError if it does not answer."""


class NullTracker:
    """Tracking turned off."""

    def training_run(
        self, key: str, params: Mapping[str, Scalar], tags: Mapping[str, str]
    ) -> AbstractContextManager[Run]:
        return nullcontext(Run())

    def publish(self, paths: Paths, params: Any, stage: str) -> None:
        """Nothing."""

    def restore(self, paths: Paths) -> str:
        raise _tracking_off()

    def store(self) -> "MlflowStore":
        raise _tracking_off()


class JournalRun(Run):
    """An open run, which writes every record to a journal at once."""

    def __init__(self, spool: Path, header: Event) -> None:
        self._journal = Journal(spool, header)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        values = {}
        for name, value in metrics.items():
            try:
                values[name] = float(value)
            except (TypeError, ValueError):
                _log.debug("metric %s is not a number: %r", name, value)
        self._journal.append({"event": "metrics", "step": int(step), "time": now_ms(), "values": values})

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        self._journal.append({"event": "params", "values": dict(params)})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self._journal.append({"event": "tags", "values": {name: str(value) for name, value in tags.items()}})

    def log_file(self, path: Path, folder: str) -> None:
        self._journal.keep(path, folder)

    def finished(self, weights_sha256: str) -> None:
        self.set_tags({outputs.WEIGHTS_TAG: weights_sha256, outputs.logged_tag("train"): weights_sha256})

    def end(self, status: str | None) -> None:
        """Write the last record; None keeps the run's status as it is."""
        self._journal.append({"event": "end", "status": status, "time": now_ms()})

    def send(self, store: Sink) -> None:
        """Send the records now, in this thread; StoreDown if the store does not accept them."""
        if self._journal.fault is not None:
            raise self._journal.fault
        try:
            ship(self._journal.folder, store)
        finally:
            self._journal.close()


class LiveRun(JournalRun):
    """An open run with a thread that sends its journal; `turn` is the lock of the senders."""

    def __init__(self, home: Path, header: Event, turn: threading.Lock, *, system_metrics: bool) -> None:
        super().__init__(home / "spool", header)
        self._home = home
        self._turn = turn
        self._system_metrics = system_metrics
        self._started = now_ms()
        self._stop = threading.Event()
        self._complete = False
        self._thread = threading.Thread(target=self._send, name="tracking", daemon=True)
        if self._journal.fault is None:
            self._thread.start()

    def close(self, status: str | None) -> None:
        """End the run, and wait for its records to be sent, but not longer than a limit."""
        if self._journal.fault is not None:
            return
        self.end(status)
        self._stop.set()
        self._thread.join(timeout=_CLOSE_LIMIT_S)
        if not self._complete:
            _log.warning(
                "The tracking store did not accept all records; they are kept in %s, and the next command that "
                "reaches the store sends them.",
                self._journal.folder.parent,
            )

    def _send(self) -> None:
        """Keep the journal locked until its sender is done, so that no other sender takes it over."""
        try:
            self._send_until_stopped()
        finally:
            self._journal.close()

    def _send_until_stopped(self) -> None:
        store: MlflowStore | None = None
        pause, stopping, sampled_at = 0.2, False, 0
        while not (stopping or self._complete):  # a journal that was sent completely is removed
            stopping = self._stop.wait(pause)
            try:
                with self._turn:
                    if store is None:
                        store = connect(self._home)
                        ship_left_behind(self._home / "spool", store, own=self._journal.folder)
                    if self._system_metrics and now_ms() - sampled_at >= _SYSTEM_EVERY_S * 1000:
                        sampled_at = now_ms()
                        self.log_metrics(store.system_metrics(), (sampled_at - self._started) // 1000)
                    self._complete = ship(self._journal.folder, store)
                pause = _SEND_EVERY_S
            except (StoreDown, OSError) as error:
                if pause < _SEND_EVERY_S:
                    _log.warning(
                        "%s The work continues; its records are kept in %s.", error, self._journal.folder.parent
                    )
                pause = min(_LONGEST_PAUSE_S, max(_SEND_EVERY_S, 2 * pause))


class MlflowTracker:
    """Tracking with MLflow: the server in MLFLOW_TRACKING_URI, else a database file under home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._turn = threading.Lock()

    @contextmanager
    def training_run(self, key: str, params: Mapping[str, Scalar], tags: Mapping[str, str]) -> Iterator[Run]:
        header = {"event": "open", "by": "key", "value": key, "time": now_ms()}
        header["tags"] = {**described(key), "mlflow.runName": run_name(key, params), **tags}
        run = LiveRun(self._home, header, self._turn, system_metrics=True)
        status = "FAILED"
        try:
            run.log_params(params)
            yield run
            status = "FINISHED"
        except (Stopped, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            run.close(status)

    def publish(self, paths: Paths, params: Any, stage: str) -> None:
        weights = weights_digest(paths)
        for name in dict.fromkeys(("train", stage)):
            header = _restoring(weights, name, outputs.digest(name, paths))
            run = LiveRun(self._home, header, self._turn, system_metrics=False)
            outputs.log_stage(run, name, paths, params if name == stage else None)
            run.close(None)

    def restore(self, paths: Paths) -> str:
        weights, store = weights_digest(paths), self.store()
        with store_must_answer():
            ship_left_behind(self._home / "spool", store)
            for name in outputs.STAGES:
                run = JournalRun(self._home / "spool", _restoring(weights, name, outputs.digest(name, paths)))
                outputs.log_stage(run, name, paths)
                run.end(None)
                run.send(store)
            return store.run_id_of_weights(weights)

    def store(self) -> "MlflowStore":
        with store_must_answer():
            return connect(self._home)


def open_tracker(enabled: bool, home: Path) -> Tracker:
    """The tracker of this project; connects and imports nothing before the first record."""
    return MlflowTracker(home) if enabled else NullTracker()


def store_uri(home: Path) -> str:
    """The URI of the MLflow store: MLFLOW_TRACKING_URI, else a database file under home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"


def connect(home: Path) -> "MlflowStore":
    """The store, or StoreDown within seconds. Sets MLflow to log little and not to wait minutes for a dead server."""
    quieten()
    for name, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }.items():
        os.environ.setdefault(name, value)
    from pipelines.tracking.mlflow_store import MlflowStore

    return MlflowStore(store_uri(home), home)


def _restoring(weights: str, stage: str, digest: str) -> Event:
    unless = {outputs.logged_tag(stage): digest}
    tags = described(weights, restored=True)
    return {"event": "open", "by": "weights", "value": weights, "time": now_ms(), "tags": tags, "unless": unless}


def _tracking_off() -> TrackingError:
    return TrackingError(
        "this needs tracking, but params.yaml says `runtime.tracking: false`; set it to true (the default "
        "store is a file under the state folder and needs no server)"
    )
