"""Models that follow a source: a new version is fetched, verified and tried, and only then answers.

One thread looks at all sources every few seconds. A version that fails is refused and the old one goes on; a source
that cannot be reached changes nothing.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ddpm_core.bundle.format import Bundle
from ddpm_core.errors import DeviceError, IntegrityError, TrackingError
from ddpm_core.files import atomic_write_json
from pipelines.serving.hosted import Following, Models, Version
from pipelines.serving.service import Service
from pipelines.serving.sources import Cache, Offer, Source

log = logging.getLogger(__name__)

_CURRENT = "current.json"
_JOIN_SECONDS = 5.0
# The source, the disk or the device cannot be used now; what it offers may be good.
_AWAY = (TrackingError, OSError, DeviceError)


class Follower:
    """One model and its source. `open_service` makes a service of a verified bundle."""

    def __init__(self, name: str, source: Source, cache: Path, open_service: Callable[[Bundle], Service]) -> None:
        self.name, self._source, self._open = name, source, open_service
        self._cache, self._current_file = Cache(cache), cache / _CURRENT
        self._state = Following(source.name)
        self._seen = ""

    def first(self) -> Version:
        """The version to begin with; where the source's cannot be had or is bad, the last one that was served."""
        offer: Offer | None = None
        known = self._last_served()
        try:
            offer = self._source.look()
            version = self._tried(offer)
        except Exception as error:
            if known is None or (offer is not None and offer.digest == known.digest):
                raise
            version = self._tried(known)
            if offer is None or isinstance(error, _AWAY):
                self._away(error)
            else:
                self._refuse(offer, known.digest, error)
            return version
        self._taken(offer)
        return version

    def look(self, models: Models) -> None:
        """Look at the source once, and switch to what is new there if it is good. Never raises."""
        try:
            offer = self._source.look()
            if offer.mark != self._seen:
                self._consider(offer, models)
        except Exception as error:  # noqa: BLE001  whatever it is, the served version goes on
            self._away(error)
            return
        self._state.good_look = time.monotonic()
        if self._state.failures:
            log.info("%s: the %s answers again", self.name, self._source.name)
            self._state.failures = 0

    def _consider(self, offer: Offer, models: Models) -> None:
        served = models.info(self.name)
        self._cache.touch(served["bundle"])
        if offer.digest != served["bundle"]:
            try:
                version = self._tried(offer)
                _same_routes(version.service, served["routes"])
            except _AWAY:
                raise
            except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no class of their own
                self._refuse(offer, str(served["bundle"]), error)
                return
            models.switch(self.name, version)
            self._state.switches += 1
            log.info("%s: bundle %s answers now, in place of %s", self.name, offer.digest[:16], served["bundle"][:16])
        else:
            models.renumber(self.name, offer.version, offer.created)
        self._state.refused = None
        self._taken(offer)

    def _tried(self, offer: Offer) -> Version:
        """The version of an offer, verified, its golden sample compared, its network warm."""
        service = self._open(self._cache.bundle(offer, self._source))
        golden = service.sampler.check_golden()
        if golden == "none":
            service.sampler.make_golden(1, 0.0)  # refuses a network that gives non-finite values
        log.info("%s: bundle %s, golden sample: %s", self.name, offer.digest[:16], golden)
        return Version(
            service,
            lambda: self._open(self._cache.bundle(offer, self._source)),
            offer.version,
            offer.created,
            self._state,
        )

    def _taken(self, offer: Offer) -> None:
        self._seen = offer.mark
        atomic_write_json(self._current_file, asdict(offer))

    def _last_served(self) -> Offer | None:
        try:
            return Offer(**{**json.loads(self._current_file.read_text(encoding="utf-8")), "mark": ""})
        except (OSError, ValueError, TypeError):
            return None

    def _refuse(self, offer: Offer, served: str, error: Exception) -> None:
        if self._source.look().mark != offer.mark:
            return  # a folder that is being written; the next look sees it whole
        self._seen = offer.mark
        self._state.refused = {"bundle": offer.digest, "version": offer.version}
        log.error("%s: bundle %s is refused, %s goes on: %s", self.name, offer.digest[:16], served[:16], error)

    def _away(self, error: Exception) -> None:
        self._state.failures += 1
        self._state.failed_looks += 1
        if self._state.failures == 1:
            log.warning(
                "%s: the %s cannot be used now, the served version goes on: %s", self.name, self._source.name, error
            )


def _same_routes(service: Service, routes: Sequence[str]) -> None:
    if list(service.routes) != list(routes):
        raise IntegrityError(
            f"a new version must answer at {', '.join(routes)} as the served one does, but it answers at "
            f"{', '.join(service.routes)}; serve it under a name of its own, or start the server again"
        )


class Watcher:
    """The one thread that looks at the sources, `seconds` after each other."""

    def __init__(self, followers: Sequence[Follower], models: Models, seconds: float) -> None:
        self._followers, self._models, self._seconds = followers, models, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        if self._followers:
            self._thread.start()

    def close(self) -> None:
        """End the thread; one that waits for a store is left to end with the process."""
        self._stop.set()
        if self._followers:
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            for follower in self._followers:
                if not self._stop.is_set():
                    follower.look(self._models)
