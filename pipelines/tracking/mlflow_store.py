"""The MLflow store: runs found by content, records sent in batches.

If the store does not answer, it raises StoreDown, so that the caller keeps the records and retries later. A single
record that the store refuses is skipped with a warning, so that it does not block the others.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import register_dataset_source
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _logger as _database_logger
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.tracking import MlflowClient

from pipelines.runtime.locks import locked
from pipelines.tracking.journal import Event, RunGone
from pipelines.tracking.mlflow_errors import probe, store_errors
from pipelines.tracking.stage_records import DATA_TAG, KEY_TAG, WEIGHTS_TAG

_log = logging.getLogger(__name__)
EXPERIMENT = "ddpm"
_METRICS, _ENTITIES = 1000, 100  # the maximum that MLflow accepts in one call
_LONGEST_PARAM, _LONGEST_TAG, _LONGEST_KEY = 6000, 8000, 250
_NOT_IN_A_NAME = re.compile(r"[^\w\-. /:]")
_WILL_NEVER_DO = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}

T = TypeVar("T")


class ShardsSource(DatasetSource):
    """The shards as an MLflow dataset source, identified by the digest of their index."""

    def __init__(self, digest: str) -> None:
        self.digest = digest

    @staticmethod
    def _get_source_type() -> str:
        return "ddpm_shards"

    def load(self) -> str:
        """How to get the shards with this digest: from DVC."""
        return "dvc checkout data/shards"

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, ShardsSource)

    @classmethod
    def _resolve(cls, raw_source: Any) -> "ShardsSource":
        return cls(raw_source.digest)

    def to_dict(self) -> dict[str, str]:
        return {"digest": self.digest, "fetch": "dvc checkout data/shards"}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> "ShardsSource":
        return cls(str(source_dict["digest"]))


class MlflowStore:
    """An open store."""

    def __init__(self, uri: str, home: Path) -> None:
        probe(uri)
        _register_source()
        self.uri = uri
        self._home = home
        self._monitors: list[Any] | None = None
        _database_logger.setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with store_errors(uri), locked(home / "mlflow.lock"):
            self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self.experiment = self._experiment()

    def open_run(self, header: Event) -> str | None:
        """The run that a journal's header names: by the key of an unfinished training, or by weights."""
        with store_errors(self.uri):
            if header["by"] == "key":
                return self._open_by_key(header)
            run = self.run_by_weights(header["value"])
            if run is None:
                tags = {**header["tags"], WEIGHTS_TAG: header["value"]}
                run = self._create(tags, header["time"])
                self.client.set_terminated(run.info.run_id, "FINISHED", header["time"])
            had = run.data.tags
            unless = header.get("unless") or {}
            if unless and all(had.get(name) == value for name, value in unless.items()):
                return None
            return str(run.info.run_id)

    def send(self, run_id: str, events: list[Event]) -> None:
        """Store records in as few calls as their kinds allow."""
        with store_errors(self.uri):
            metrics = [metric for event in events if event["event"] == "metrics" for metric in _metrics(event)]
            for group in _groups(metrics, _METRICS):
                self._take(group, lambda some: self.client.log_batch(run_id, metrics=some))
            for event in events:
                if event["event"] == "params":
                    self._log_params(run_id, event["values"])
                elif event["event"] == "tags":
                    self._set_tags(run_id, event["values"])
                elif event["event"] == "file":
                    self._log_file(run_id, Path(event["path"]), event["folder"])
                elif event["event"] == "end" and event["status"] is not None:
                    self.client.set_terminated(run_id, event["status"], event["time"])

    def run_by_weights(self, weights: str) -> MlflowRun | None:
        """The newest finished run of these weights."""
        found = self._search(f"tags.`{WEIGHTS_TAG}` = '{weights}' and attributes.status = 'FINISHED'")
        return found[0] if found else None

    def run_id_of_weights(self, weights: str) -> str:
        """The id of that run, which must exist."""
        with store_errors(self.uri):
            run = self.run_by_weights(weights)
        if run is None:
            raise RunGone(f"The MLflow store {self.uri} must have the run of weights {weights[:12]}, but does not.")
        return str(run.info.run_id)

    def system_metrics(self) -> dict[str, float]:
        """MLflow's system metrics since the last call, with the names that its pages expect."""
        if self._monitors is None:
            self._monitors = _monitors()
        measured: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            measured.update(monitor.aggregate_metrics())
            monitor.clear_metrics()
        return {f"system/{name}": value for name, value in measured.items()}

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            if found.lifecycle_stage == LifecycleStage.DELETED:
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        place = (self._home / "mlartifacts").as_uri() if self.uri.startswith("sqlite:") else None
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=place))

    def _open_by_key(self, header: Event) -> str:
        found = self._search(f"tags.`{KEY_TAG}` = '{header['value']}' and attributes.status != 'FINISHED'")
        if found:
            run_id = str(found[0].info.run_id)
            self.client.update_run(run_id, status="RUNNING")
            self._set_tags(run_id, header["tags"])
        else:
            tags = {**header["tags"], KEY_TAG: header["value"]}
            run_id = str(self._create(tags, header["time"]).info.run_id)
        return run_id

    def _search(self, condition: str) -> Sequence[MlflowRun]:
        return self.client.search_runs(
            [self.experiment], condition, max_results=1, order_by=["attributes.start_time DESC"]
        )

    def _create(self, tags: dict[str, str], start: int) -> MlflowRun:
        run = self.client.create_run(
            self.experiment, start_time=start, tags={n: _cut(v, _LONGEST_TAG) for n, v in tags.items()}
        )
        self._log_dataset(run.info.run_id, tags)
        return run

    def _log_dataset(self, run_id: str, tags: dict[str, str]) -> None:
        if digest := tags.get(DATA_TAG):
            source = ShardsSource(digest)
            dataset = Dataset("shards", digest[:32], source._get_source_type(), source.to_json())
            context = InputTag("mlflow.data.context", "training")
            self.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])

    def _set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        listed = [RunTag(_name(name), _cut(value, _LONGEST_TAG)) for name, value in tags.items()]
        for group in _groups(listed, _ENTITIES):
            self._take(group, lambda some: self.client.log_batch(run_id, tags=some))
        if DATA_TAG in tags and not _has_dataset(self.client.get_run(run_id)):
            self._log_dataset(run_id, tags)

    def _log_params(self, run_id: str, params: dict[str, Any]) -> None:
        """MLflow keeps a parameter's first value forever; a tag has a later one."""
        had = self.client.get_run(run_id).data.params
        named = {_name(key): _cut(str(value), _LONGEST_PARAM) for key, value in params.items()}
        fresh = [Param(key, value) for key, value in named.items() if key not in had]
        for group in _groups(fresh, _ENTITIES):
            self._take(group, lambda some: self.client.log_batch(run_id, params=some))
        if changed := {f"changed.{key}"[:_LONGEST_KEY]: v for key, v in named.items() if had.get(key, v) != v}:
            self._set_tags(run_id, changed)
        if long := {key: value for key, value in params.items() if len(str(value)) > _LONGEST_PARAM}:
            self.client.log_text(run_id, json.dumps(long, indent=1, sort_keys=True), "params/long.json")

    def _log_file(self, run_id: str, path: Path, folder: str) -> None:
        if path.is_dir():
            self.client.log_artifacts(run_id, str(path), f"{folder}/{path.name}".lstrip("/"))
        elif path.exists():
            self.client.log_artifact(run_id, str(path), folder or None)

    def _take(self, group: list[T], log: Callable[[list[T]], object]) -> None:
        """Log some records; if the store refuses one of them, skip only that one."""
        try:
            log(group)
        except MlflowException as error:
            if error.error_code not in _WILL_NEVER_DO:
                raise
            if len(group) == 1:
                _log.warning("The tracking store refuses %s: %s", group[0], error)
                return
            half = len(group) // 2
            self._take(group[:half], log)
            self._take(group[half:], log)


@cache
def _register_source() -> None:
    """Let MLflow read our dataset source back; a second call does nothing."""
    register_dataset_source(cast(DatasetSource, ShardsSource))  # it accepts the class, whatever its annotation says


def _monitors() -> list[Any]:
    kinds: list[Any] = [CPUMonitor, DiskMonitor, NetworkMonitor]
    monitors = [kind() for kind in kinds]
    try:
        monitors.append(cast(Any, GPUMonitor)())
    except (ImportError, RuntimeError):
        _log.debug("there is no GPU to monitor")
    return monitors


def _has_dataset(run: MlflowRun) -> bool:
    return run.inputs is not None and bool(run.inputs.dataset_inputs)


def _metrics(event: Event) -> list[Metric]:
    return [Metric(_name(name), value, event["time"], event["step"]) for name, value in event["values"].items()]


def _name(name: str) -> str:
    return _NOT_IN_A_NAME.sub("_", name)[:_LONGEST_KEY]


def _cut(value: str, longest: int) -> str:
    if len(value) <= longest:
        return value
    end = " ... (cut)"
    return value[: longest - len(end)] + end


def _groups(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
