"""The registry as a source of what `ddpm serve` answers by: the version that an alias points to."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.errors import TrackingError
from pipelines.serving.sources import Offer, as_offered
from pipelines.tracking.store_access import store_must_answer
from pipelines.tracking.tracker import connect

if TYPE_CHECKING:
    from pipelines.tracking.mlflow_registry import Registry


class RegistrySource:
    """The bundle that an alias of a registered model points to. The store is connected at the first look."""

    def __init__(self, home: Path, model: str, alias: str) -> None:
        self.name = f"alias {alias}"
        self._home, self._model, self._alias = home, model, alias
        self._connected: Registry | None = None

    def look(self) -> Offer:
        with self._registry() as registry:
            version = registry.holder(self._alias)
        if version is None:
            raise TrackingError(
                f"the registered model {self._model} must have the alias `{self._alias}`, but has none; `ddpm promote` "
                "gives `champion`; to serve a folder write it with a slash, as --model NAME=./FOLDER"
            )
        number = str(version.number)
        return Offer(f"{number} {version.bundle}", version.bundle, number, version.registered_ms // 1000)

    def read(self, offer: Offer) -> Bundle:
        with self._registry() as registry, tempfile.TemporaryDirectory(prefix="ddpm-version-") as scratch:
            version = registry.named(offer.version or "")
            if version is None:
                raise TrackingError(f"version {offer.version} of {self._model} is no longer in the registry")
            return as_offered(read_bundle(registry.fetch(version, Path(scratch)) / "bundle"), offer.digest)

    @contextmanager
    def _registry(self) -> Iterator["Registry"]:
        """The registry; connected anew after an error."""
        from pipelines.tracking.mlflow_registry import Registry

        with store_must_answer():
            try:
                if self._connected is None:
                    self._connected = Registry(connect(self._home), self._model)
                yield self._connected
            except BaseException:
                self._connected = None
                raise
