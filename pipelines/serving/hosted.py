"""The models that one server answers for, by name, and which of them are loaded."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastapi import Request as Http

from ddpm_core.errors import DdpmError, ParamsError
from pipelines.serving.base.request import Request
from pipelines.serving.base.serving import Serving
from pipelines.serving.http import HttpError
from pipelines.serving.ops.facts import current
from pipelines.serving.scheduler import QueueFull, Scheduler, SchedulerClosed
from pipelines.serving.service import Service, client_of, refused

log = logging.getLogger(__name__)

_TOLD = ("kind", "bundle", "routes", "device", "provider", "bytes", "evaluations", "limits")
"""Of what is known of a model, what the list of models tells too."""


class Route(NamedTuple):
    """A route of a kind of data."""

    request: type[Request]
    serving: Serving


@dataclass
class Following:
    """What is told of a model that follows a source: how often it switched, looks that failed since the last good one
    and in all, when that was, and what was refused last."""

    source: str
    switches: int = 0
    failures: int = 0
    failed_looks: int = 0
    good_look: float = field(default_factory=lambda: time.monotonic())
    refused: Mapping[str, str | None] | None = None


class Version(NamedTuple):
    """One bundle that a model answers by. `reopen` makes its service again after it was unloaded."""

    service: Service
    reopen: Callable[[], Service]
    number: str | None = None
    created: int = 0
    following: Following | None = None


class _Model:
    """A name: what it answers by now, and its service while that is loaded."""

    def __init__(self, name: str, version: Version) -> None:
        self.name, self.used = name, 0
        self.service: Service | None = None
        self.take(version)

    def take(self, version: Version) -> None:
        service = version.service
        self.reopen, self.number, self.created = version.reopen, version.number, version.created
        self.following, self.info, self.limits = version.following, service.model_info, service.limits
        self.routes = {path: Route(request, service.serving) for path, request in service.routes.items()}
        self.service = service

    def teaches(self, other: "_Model") -> bool:
        """Whether the other one is a student of this one; a variant of a bundle stands for the bundle."""
        student, variant = other.info["student"], self.info["provenance"].get("variant", {})
        return student is not None and student["teacher"] in (self.info["bundle"], variant.get("of"))

    def card(self, students: Sequence[str]) -> dict[str, Any]:
        """The model in the list of `GET /v1/models`: OpenAI's keys, then our own."""
        follows, student = self.following, self.info["student"]
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "ddpm",
            **{key: self.info[key] for key in _TOLD},
            "teacher": None if student is None else student["teacher"],
            "students": list(students),
            "variant": self.info["provenance"].get("variant", {}).get("name", "fp32"),
            "version": self.number,
            "loaded": self.service is not None,
            "follows": None if follows is None else follows.source,
            "switches": 0 if follows is None else follows.switches,
            "failures": 0 if follows is None else follows.failures,
            "refused": None if follows is None else follows.refused,
        }


class Models:
    """The models by name, and the scheduler that they share, as they share the device.

    `start` and `close` begin and end the scheduler; between them every request that asks for a model gets the service
    that is current then, and keeps it. At most `most_loaded` models are loaded: to load another, the one that was
    not asked for longest is unloaded. A service that is unloaded or replaced lives until its last request ends.
    """

    def __init__(self, waiting: int, at_once: int, most_loaded: int | None = None) -> None:
        self._waiting, self._at_once, self._most = waiting, at_once, most_loaded
        self._models: dict[str, _Model] = {}
        self._uses = 0
        self._changing = threading.Lock()
        self._loading = asyncio.Lock()
        self.scheduler: Scheduler | None = None
        self._leaving = False
        self.on_step: Callable[[float], None] | None = None
        """Told the seconds of every step."""

    def add(self, name: str, version: Version) -> None:
        """Another model. The first one is the default."""
        with self._changing:
            for path, route in self.routes.items():
                if version.service.routes.get(path, route.request) is not route.request:
                    raise ParamsError(f"--model {name}: {path} must mean the same for every model; serve it on its own")
            self._make_room()
            self._models[name] = _Model(name, version)

    def switch(self, name: str, version: Version) -> None:
        """Answer for `name` by this version from now on; requests that run keep theirs."""
        version.service.scheduler = self.scheduler
        with self._changing:
            model = self._models[name]
            loaded = model.service is not None
            model.take(version)
            if not loaded:
                model.service = None

    def renumber(self, name: str, number: str | None, created: int) -> None:
        """The same bundle has another number in its registry."""
        with self._changing:
            self._models[name].number, self._models[name].created = number, created

    async def get(self, name: str | None = None, path: str | None = None) -> Service:
        """The current service of a name, by default of the first model that answers at `path`; loaded if need be.

        HttpError where no model has that name, where it does not answer at `path`, and where it cannot be loaded.
        """
        model = self._named(name, path)
        current().model = model.name
        self._uses += 1
        model.used = self._uses
        service = model.service  # read once: another thread may unload it
        if service is not None:
            return service
        async with self._loading:
            service = model.service  # another request may have loaded it
            return await asyncio.to_thread(self._load, model) if service is None else service

    def default(self, path: str | None = None) -> str:
        """The name of the first model that answers at a path; of the first one, if none does."""
        names = (name for name, model in self._models.items() if path is None or path in model.routes)
        return next(names, next(iter(self._models)))

    def _load(self, model: _Model) -> Service:
        with self._changing:
            self._make_room()
            reopen = model.reopen
        try:
            service = reopen()
        except (DdpmError, OSError) as error:
            log.error("%s cannot be loaded: %s", model.name, error)
            later = {"Retry-After": "30"}
            raise HttpError(503, "model_not_loaded", "the model cannot be loaded now", headers=later) from error
        service.scheduler = self.scheduler
        with self._changing:
            if model.reopen is reopen:  # else another version answers by now, and this one for its request alone
                model.service = service
        log.info("%s is loaded, bundle %s", model.name, service.sampler.bundle.digest[:16])
        return service

    def _make_room(self) -> None:
        """Unload what was not asked for longest, until one more may be loaded."""
        if self._most is None:
            return
        loaded = sorted((model for model in self._models.values() if model.service), key=lambda model: model.used)
        for model in loaded[: max(0, len(loaded) + 1 - self._most)]:
            model.service = None
            log.info("%s is unloaded", model.name)

    def _named(self, name: str | None, path: str | None = None) -> _Model:
        if name is None:
            return self._models[self.default(path)]
        if name not in self._models:
            raise HttpError(404, "model_not_found", "model: must be one of those that GET /v1/models lists")
        model = self._models[name]
        if path is not None and path not in model.routes:
            message = f"must answer at {path}, but this model answers at {', '.join(model.routes)}"
            fields = [{"field": "model", "message": message}]
            raise HttpError(422, "invalid_request", f"model: {message}", {"fields": fields})
        return model

    def info(self, name: str | None = None) -> Mapping[str, Any]:
        """What is told of a model: its bundle's digest, kind, classes, limits, device."""
        return self._named(name).info

    def card(self, name: str | None = None) -> dict[str, Any]:
        """A model as `GET /v1/models` lists it."""
        return self._card(self._named(name))

    def followed(self) -> dict[str, Following]:
        """What is told of the models that follow a source, by name."""
        return {name: model.following for name, model in self._models.items() if model.following is not None}

    def cards(self) -> list[dict[str, Any]]:
        """What `GET /v1/models` lists."""
        return [self._card(model) for model in self._models.values()]

    def _card(self, model: _Model) -> dict[str, Any]:
        students = [each for each in self._models.values() if model.teaches(each)]
        students.sort(key=lambda each: -each.info["evaluations"])
        return model.card([each.name for each in students])

    @property
    def routes(self) -> dict[str, Route]:
        """The kinds' routes, by path."""
        return {path: route for model in self._models.values() for path, route in model.routes.items()}

    def body_bytes(self, path: str) -> int:
        """The most bytes of a body at this path, whichever model it asks for."""
        sizes = (model.limits.body_bytes for model in self._models.values() if path in model.routes)
        return max(size for size in sizes if size is not None)

    @property
    def ready(self) -> bool:
        """Whether requests are accepted, and will be for a while."""
        return self.scheduler is not None and self.scheduler.alive and not self._leaving

    def start(self) -> None:
        self._leaving = False
        self.scheduler = Scheduler(self._waiting, self._at_once, on_step=self.on_step)
        self._loading = asyncio.Lock()
        with self._changing:
            for model in self._models.values():
                if model.service is not None:
                    model.service.scheduler = self.scheduler

    def must_have_place(self, http: Http) -> None:
        """HttpError, before anything of a request is read, where its client finds no place."""
        if self.scheduler is None:
            return
        try:
            self.scheduler.must_have_place(client_of(http))
        except (QueueFull, SchedulerClosed) as error:
            raise refused(error) from error

    def leave(self) -> None:
        """Be ready no more, though requests are accepted as before."""
        self._leaving = True

    def drain(self, seconds: float) -> None:
        """Accept no more requests; those in hand have so long to end."""
        if self.scheduler is not None:
            self.scheduler.drain(seconds)

    def close(self) -> None:
        if self.scheduler is not None:
            self.scheduler.close()
