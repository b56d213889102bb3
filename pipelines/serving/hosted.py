"""The models that one server answers for, by name."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.serving.base.request import Request
from pipelines.serving.base.serving import Serving
from pipelines.serving.http import HttpError
from pipelines.serving.scheduler import Scheduler
from pipelines.serving.service import Service


class Route(NamedTuple):
    """A route of a kind of data."""

    request: type[Request]
    serving: Serving


class Models:
    """The current service of each name, and the scheduler that they share, as they share the device.

    `start` and `close` begin and end the scheduler; between them every request that asks for a model gets the service
    that is current then, and keeps it.
    """

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = dict(services)
        self.scheduler: Scheduler | None = None

    async def get(self, name: str | None = None) -> Service:
        """The current service of a name, by default of the first; HttpError 404 where no model has that name."""
        return self._named(name)

    def info(self, name: str | None = None) -> Mapping[str, Any]:
        """What is told of a model: its bundle's digest, kind, classes, limits, device."""
        return self._named(name).model_info

    def _named(self, name: str | None) -> Service:
        if name is None:
            return next(iter(self._services.values()))
        if name not in self._services:
            raise HttpError(404, "model_not_found", "model: must be one of those that /v1/models lists")
        return self._services[name]

    def switch(self, name: str, service: Service) -> None:
        """Answer for `name` by this service from now on; requests that run keep theirs."""
        service.scheduler = self.scheduler
        self._services[name] = service

    @property
    def routes(self) -> dict[str, Route]:
        """The kinds' routes, by path."""
        services = self._services.values()
        return {path: Route(body, each.serving) for each in services for path, body in each.routes.items()}

    @property
    def ready(self) -> bool:
        """Whether requests are accepted."""
        return self.scheduler is not None and self.scheduler.alive

    def start(self) -> None:
        limits = self._named(None).limits
        self.scheduler = Scheduler(limits.waiting, limits.at_once)
        for service in self._services.values():
            service.scheduler = self.scheduler

    def drain(self, seconds: float) -> None:
        """Accept no more requests; those in hand have so long to end."""
        if self.scheduler is not None:
            self.scheduler.drain(seconds)

    def close(self) -> None:
        if self.scheduler is not None:
            self.scheduler.close()
