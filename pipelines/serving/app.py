"""The HTTP service over bundles: which routes it has, what begins and ends with it, and the server around it.

The event loop reads and validates requests and sends the answers; worker threads sample (scheduler.py). A body is
limited in size, validated strictly, and never repeated in an error.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.hosted import Models
from pipelines.serving.http import HttpError, http_error
from pipelines.serving.routes import health_router, model_router, samples_router
from pipelines.serving.service import Limits, Service

log = logging.getLogger(__name__)

ONLY_MODEL = "default"
"""The name of the model where the server was given one bundle and no name."""


def create_app(sampler: Sampler, limits: Limits) -> FastAPI:
    """The HTTP application for one sampler."""
    return app_of(Models({ONLY_MODEL: Service(sampler, limits)}))


def app_of(models: Models) -> FastAPI:
    """The HTTP application for these models."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        models.start()
        try:
            yield
        finally:
            await asyncio.to_thread(models.close)

    # No /docs: those pages load scripts from a CDN. /openapi.json has the same content.
    app = FastAPI(title="ddpm", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.models = models
    for error in (HttpError, 404, 405):
        app.add_exception_handler(error, http_error)
    for router in (samples_router, model_router, health_router):
        app.include_router(router(models))
    return app


def serve_bundle(bundle: Path, *, host: str, port: int, device: str, threads: int, limits: Limits) -> None:
    """Verify a bundle and its golden sample, then serve it until a signal comes; running requests are finished."""
    sampler = Sampler.open(bundle, device, threads)
    log.info("bundle %s, golden sample: %s", sampler.bundle.digest[:16], sampler.check_golden())
    app = create_app(sampler, limits)
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
        timeout_graceful_shutdown=30,
    )
    routes = ", ".join(f"POST {path}" for path in app.state.models.routes)
    log.info("serving on http://%s:%d (%s); stop with ctrl-c", host, port, routes)
    try:
        uvicorn.Server(config).run()
    except KeyboardInterrupt:
        log.info("stopped")
