"""The HTTP service over bundles: which routes it has, what begins and ends with it, and the server around it.

The event loop reads and validates requests and sends the answers; worker threads sample (scheduler.py). A body is
limited in size, validated strictly, and never repeated in an error.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.follow import Watcher
from pipelines.serving.hosted import Models, Version
from pipelines.serving.http import add_error_handlers
from pipelines.serving.inference_protocol.routes import inference_router
from pipelines.serving.interpolations import interpolations_router
from pipelines.serving.openai.routes import openai_router
from pipelines.serving.ops.assemble import operated, server_config
from pipelines.serving.ops.metrics import Metrics, Readings, ServedModel
from pipelines.serving.ops.settings import Settings
from pipelines.serving.page import page_router
from pipelines.serving.routes import health_router, model_router, samples_router
from pipelines.serving.service import Limits, Service
from pipelines.serving.start import ONLY_MODEL

log = logging.getLogger(__name__)


def create_app(sampler: Sampler, limits: Limits) -> FastAPI:
    """The HTTP application for one sampler."""
    models = Models(limits.waiting, max(limits.at_once, limits.batch))
    models.add(ONLY_MODEL, Version(Service(sampler, limits), lambda: Service(sampler, limits)))
    return app_of(models)


def app_of(models: Models, watcher: Watcher | None = None) -> FastAPI:
    """The HTTP application for these models; `watcher` looks for their new versions while the application runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        models.start()
        if watcher is not None:
            watcher.start()
        try:
            yield
        finally:
            if watcher is not None:
                await asyncio.to_thread(watcher.close)
            await asyncio.to_thread(models.close)

    # No /docs: those pages load scripts from a CDN. /openapi.json has the same content.
    app = FastAPI(title="ddpm", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.models = models
    add_error_handlers(app)
    for router in (samples_router, openai_router, inference_router, model_router, health_router):
        app.include_router(router(models))
    app.include_router(interpolations_router(models))
    app.include_router(page_router())
    return app


class Server(uvicorn.Server):
    """A server that refuses new work when it is told to stop, and finishes what it can of the rest in the time."""

    def __init__(self, config: uvicorn.Config, models: Models, seconds: float) -> None:
        super().__init__(config)
        self._models, self._seconds = models, seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._models.drain(self._seconds)
        await super().shutdown(sockets)
        self._models.close()  # a second ctrl-c leaves out the end of the lifespan


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve an application until a signal comes; running requests are finished."""
    models: Models = app.state.models
    config = server_config(operated(app, settings, metrics_of(models)), settings)
    routes = ", ".join(f"POST {path}" for path in models.routes)
    scheme = "http" if settings.tls_cert is None else "https"
    log.info("serving on %s://%s:%d (%s); stop with ctrl-c", scheme, settings.host, settings.port, routes)
    try:
        Server(config, models, settings.stop_timeout).run()
    except KeyboardInterrupt:
        log.info("stopped")


def metrics_of(models: Models) -> Metrics:
    """Metrics that read these models, and are told their steps."""

    def in_hand() -> tuple[int, int]:
        return (0, 0) if models.scheduler is None else models.scheduler.in_hand

    def served() -> Iterator[ServedModel]:
        for card in models.cards():
            yield ServedModel(
                card["id"],
                card["bundle"],
                card["kind"],
                card["provider"],
                card["switches"],
                card["refused"] is not None,
            )

    metrics = Metrics(Readings(lambda: models.ready, lambda: in_hand()[1], lambda: in_hand()[0], served))
    models.on_step = metrics.step
    return metrics
