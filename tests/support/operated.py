"""A small application with the middleware of an operator around it."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from pipelines.serving.http import HttpError, add_error_handlers
from pipelines.serving.ops.assemble import operated
from pipelines.serving.ops.facts import current
from pipelines.serving.ops.logs import JsonLines
from pipelines.serving.ops.metrics import Metrics, Readings, ServedModel
from pipelines.serving.ops.settings import Settings, resolve

MODEL = ServedModel("default", "d1ge57", "pictures", "CPU", 4, True, (2, 30.0))


class Lines(logging.Handler):
    """Log lines as JSON, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.raw: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.raw.append(self.format(record))

    def requests(self) -> list[dict[str, Any]]:
        """The lines of answered requests."""
        return [line for line in map(json.loads, self.raw) if line["message"] == "request"]


@contextmanager
def log_lines(level: int = logging.INFO) -> Iterator[Lines]:
    logger, lines = logging.getLogger("pipelines"), Lines()
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(level)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(before)


def metrics_of(*models: ServedModel, waiting: int = 0, running: int = 0) -> Metrics:
    return Metrics(Readings(lambda: True, lambda: waiting, lambda: running, lambda: models))


def settings(**file: Any) -> Settings:
    return resolve({}, {}, file, "serve.yaml")


def small_app() -> FastAPI:
    """Routes that tell facts, fail, refuse, and read a body."""
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.post("/v1/images")
    async def images(request: Request) -> dict[str, int]:
        facts = current()
        facts.model, facts.bundle, facts.count, facts.cost, facts.queued = "default", "d1ge57", 3, 60, 0.25
        logging.getLogger("pipelines.serving.any").info("in the middle")
        return {"bytes": len(await request.body())}

    @app.get("/v1/models/{name}")
    async def model(name: str) -> None:
        raise HttpError(422, "too_costly", "x")

    @app.get("/fails")
    async def fails() -> None:
        raise RuntimeError("broken")

    return app


def client(counted: Metrics | None = None, **file: Any) -> TestClient:
    return TestClient(operated(small_app(), settings(**file), counted or metrics_of(MODEL)))
