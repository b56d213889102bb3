"""The HTTP service over bundles: which routes it has, and what begins and ends with it; server.py serves it.

The event loop reads and validates requests and sends the answers; worker threads sample (scheduler.py). A body is
limited in size, validated strictly, and never repeated in an error.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.follow import Watcher
from pipelines.serving.hosted import Models, Version
from pipelines.serving.http import add_error_handlers
from pipelines.serving.inference_protocol.routes import inference_router
from pipelines.serving.interpolations import interpolations_router
from pipelines.serving.openai.routes import openai_router
from pipelines.serving.ops.connections import Connections
from pipelines.serving.ops.metrics import Metrics, Readings, ServedModel
from pipelines.serving.page import page_router
from pipelines.serving.routes import health_router, model_router, samples_router
from pipelines.serving.service import Limits, Service
from pipelines.serving.start import ONLY_MODEL


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


def metrics_of(models: Models, connections: Connections | None = None) -> Metrics:
    """Metrics that read these models, and are told their steps."""

    def in_hand() -> tuple[int, int]:
        return (0, 0) if models.scheduler is None else models.scheduler.in_hand

    def served() -> Iterator[ServedModel]:
        followed, now = models.followed(), time.monotonic()
        for card in models.cards():
            source = followed.get(card["id"])
            yield ServedModel(
                card["id"],
                card["bundle"],
                card["kind"],
                card["provider"],
                card["switches"],
                card["refused"] is not None,
                None if source is None else (source.failed_looks, now - source.good_look),
            )

    among = Connections(0) if connections is None else connections
    readings = Readings(
        lambda: models.ready,
        lambda: in_hand()[1],
        lambda: in_hand()[0],
        served,
        lambda: (len(among), among.dropped),
    )
    metrics = Metrics(readings)
    models.on_step = metrics.step
    return metrics
