"""MLflow's model registry: a version for each bundle, found by the bundle's digest, and aliases."""

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as version_of_package
from pathlib import Path
from typing import Any, cast

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from pipelines.sampling.onnxruntimes import installed_onnxruntimes
from pipelines.tracking.aliases import CHAMPION
from pipelines.tracking.mlflow_errors import store_errors
from pipelines.tracking.mlflow_store import MlflowStore

BUNDLE_TAG = "bundle"
_MOST_VERSIONS = 2**31 - 1  # a database may not take a larger number in a query
# The imports of the code beside a model; onnxruntime for the CPU, whichever build is installed here.
_REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pillow", "pydantic", "tqdm")


@dataclass(frozen=True)
class Version:
    """A registered bundle."""

    number: int
    bundle: str
    tags: Mapping[str, str]
    registered_ms: int  # since 1970

    @classmethod
    def of(cls, version: ModelVersion) -> "Version":
        tags = dict(version.tags)
        return cls(int(version.version), str(tags.get(BUNDLE_TAG, "")), tags, int(version.creation_timestamp or 0))


@contextmanager
def _ambient(store: MlflowStore) -> Iterator[None]:
    """Some of MLflow works only with the process's global store; set it for this block alone."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")}
    uri = mlflow.get_tracking_uri() if cast(Any, mlflow).is_tracking_uri_set() else ""
    try:
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_experiment(experiment_id=store.experiment)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*input example.*", category=UserWarning)
            yield
    finally:
        mlflow.set_tracking_uri(uri)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class Registry:
    """The versions of one registered model."""

    def __init__(self, store: MlflowStore, name: str) -> None:
        self._store = store
        self._client = store.client
        self.name = name

    def version_of(self, bundle: str) -> Version | None:
        """The version of this bundle."""
        with store_errors(self._store.uri):
            found = self._client.search_model_versions(f"name = '{self.name}' and tags.`{BUNDLE_TAG}` = '{bundle}'")
        return min((Version.of(version) for version in found), key=lambda v: v.number, default=None)

    def holder(self, alias: str) -> Version | None:
        """The version that an alias points to now."""
        number = self._aliases().get(alias)
        if number is None:
            return None
        with store_errors(self._store.uri):
            return Version.of(self._client.get_model_version(self.name, number))

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        with store_errors(self._store.uri):
            found: list[ModelVersion] = []
            token: str | None = None
            while page := self._client.search_model_versions(f"name = '{self.name}'", page_token=token):
                found += page
                if not (token := page.token):
                    break
        return sorted((Version.of(version) for version in found), key=lambda version: version.number)

    def aliases(self) -> dict[str, int]:
        """The version of each alias."""
        return {alias: int(number) for alias, number in self._aliases().items()}

    def named(self, name: str) -> Version | None:
        """The version with this number or alias."""
        number = int(name) if name.isdecimal() else self.aliases().get(name)
        if number is None or number > _MOST_VERSIONS:
            return None
        with store_errors(self._store.uri):
            try:
                return Version.of(self._client.get_model_version(self.name, str(number)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None

    def add(
        self,
        run_id: str,
        files: Mapping[str, Path],
        code: Path,
        packages: Sequence[Path],
        signature: Any,
        tags: Mapping[str, str],
        words: str,
    ) -> Version:
        """Register a model of these files and this code, with the packages that the code imports."""
        with store_errors(self._store.uri), _ambient(self._store), _no_bytecode():
            self._create()
            info = Model.log(
                artifact_path=None,
                name="sampler",
                flavor=mlflow.pyfunc,
                run_id=run_id,
                python_model=str(code),
                artifacts={name: str(path) for name, path in files.items()},
                signature=signature,
                code_paths=[str(package) for package in packages],
                pip_requirements=[f"{name}=={_installed(name)}" for name in _REQUIREMENTS],
            )
            made = self._client.create_model_version(
                self.name, info.model_uri, run_id, tags=dict(tags), description=words, model_id=info.model_id
            )
        return Version.of(made)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set the tags that a version does not have yet."""
        with store_errors(self._store.uri):
            for name, value in tags.items():
                if version.tags.get(name) != value:
                    self._client.set_model_version_tag(self.name, str(version.number), name, value)

    def untag(self, version: Version, name: str) -> None:
        """Remove a tag."""
        with store_errors(self._store.uri):
            self._client.delete_model_version_tag(self.name, str(version.number), name)

    def move_champion(self, expected: Version | None, to: Version) -> bool:
        """Make a version the champion if the champion is still the expected one; False if somebody else changed it.

        MLflow has no compare-and-swap: the alias is read, set and read back. Of two movers at the same moment the last
        one wins and the other one is told, unless the other one read back before the last one set it.
        """
        if self.aliases().get(CHAMPION) != (None if expected is None else expected.number):
            return False
        self.point(CHAMPION, to)
        return self.aliases().get(CHAMPION) == to.number

    def point(self, alias: str, to: Version) -> None:
        """Move an alias to a version, wherever it pointed."""
        with store_errors(self._store.uri):
            self._client.set_registered_model_alias(self.name, alias, str(to.number))

    def clear(self, alias: str) -> None:
        """Remove an alias."""
        with store_errors(self._store.uri):
            self._client.delete_registered_model_alias(self.name, alias)

    def fetch(self, version: Version, folder: Path) -> Path:
        """Copy a version's files to a folder and return their path."""
        with store_errors(self._store.uri), _ambient(self._store):
            made = self._client.get_model_version(self.name, str(version.number))
            place = mlflow.artifacts.download_artifacts(
                artifact_uri=made.source, dst_path=str(folder), tracking_uri=self._store.uri
            )
        return Path(place) / "artifacts"

    def _aliases(self) -> Mapping[str, str]:
        with store_errors(self._store.uri):
            try:
                return dict(self._client.get_registered_model(self.name).aliases)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}

    def _create(self) -> None:
        words = "Samplers that passed the gate, a version a bundle. `champion` is the one to serve."
        try:
            self._client.create_registered_model(self.name, description=words)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _installed(package: str) -> str:
    """The installed version of a package; of onnxruntime, that of the build that is installed."""
    builds = installed_onnxruntimes() if package == "onnxruntime" else {}
    return builds.get(package) or next(iter(builds.values()), None) or version_of_package(package)


def fetch_run(store: MlflowStore, run_id: str, folder: Path) -> Path:
    """Copy a run's measurement to a folder: `evaluate` with its two files, `samples` with the grids."""
    with store_errors(store.uri), _ambient(store):
        for name in ("evaluate", "samples"):
            mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=name, dst_path=str(folder), tracking_uri=store.uri
            )
    return folder


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """MLflow runs a model's code in the folder that it uploads; prevent uploading Python's bytecode cache."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
