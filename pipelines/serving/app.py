"""The HTTP service over bundles: which routes it has, what begins and ends with it, and the server around it.

The event loop reads and validates requests and sends the answers; worker threads sample (scheduler.py). A body is
limited in size, validated strictly, and never repeated in an error.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.follow import Watcher
from pipelines.serving.hosted import Models, Version
from pipelines.serving.http import HttpError, http_error
from pipelines.serving.openai.routes import openai_router
from pipelines.serving.routes import health_router, model_router, samples_router
from pipelines.serving.service import Limits, Service
from pipelines.serving.start import ONLY_MODEL

log = logging.getLogger(__name__)

DRAIN_SECONDS = 30
"""How long the requests in hand have to end, when the server is told to stop."""


def create_app(sampler: Sampler, limits: Limits) -> FastAPI:
    """The HTTP application for one sampler."""
    models = Models(limits.waiting, limits.at_once)
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
    for error in (HttpError, 404, 405):
        app.add_exception_handler(error, http_error)
    for router in (samples_router, openai_router, model_router, health_router):
        app.include_router(router(models))
    return app


class Server(uvicorn.Server):
    """A server that refuses new work when it is told to stop, and finishes what it can of the rest in the time."""

    def __init__(self, config: uvicorn.Config, models: Models, seconds: float = DRAIN_SECONDS) -> None:
        super().__init__(config)
        self._models, self._seconds = models, seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._models.drain(self._seconds)
        await super().shutdown(sockets)
        self._models.close()  # a second ctrl-c leaves out the end of the lifespan


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Serve an application until a signal comes; running requests are finished."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=256,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=DRAIN_SECONDS + 2,
    )
    routes = ", ".join(f"POST {path}" for path in app.state.models.routes)
    log.info("serving on http://%s:%d (%s); stop with ctrl-c", host, port, routes)
    try:
        Server(config, app.state.models).run()
    except KeyboardInterrupt:
        log.info("stopped")
