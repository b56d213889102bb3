"""The HTTP service over a bundle: the routes of its kind of data, `GET /v1/model`, `/health/live`, `/health/ready`.

The event loop reads and validates requests and sends the answers; worker threads sample (scheduler.py). A body is
limited in size, validated strictly, and never repeated in an error.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from fastapi import Request as Http

from ddpm_core.errors import DdpmError, ParamsError
from ddpm_core.samplers.config import sampler_kinds
from pipelines.kinds import kind_of
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.request import MOST_SAMPLES, Asked, InvalidRequest, Request
from pipelines.serving.base.serving import Samples
from pipelines.serving.openapi import request_body, responses
from pipelines.serving.scheduler import Job, JobCancelled, JobTimeout, QueueFull, Scheduler, SchedulerClosed

log = logging.getLogger(__name__)

_CLIENT_CLOSED_REQUEST = 499  # the status of nginx for its logs; no client reads it
_POLL_SECONDS = 0.1  # how often to check that the client is still connected


@dataclass(frozen=True)
class Limits:
    """The limits of a server. Cost counts network evaluations of single data: n x evaluations, twice where guided.

    `cost` and `body_bytes` of None are as much as requests of the kind of data need.
    """

    cost: int | None
    waiting: int
    at_once: int
    seconds: float
    body_bytes: int | None


def create_app(sampler: Sampler, limits: Limits) -> FastAPI:
    """The HTTP application for a sampler."""
    service = _Service(sampler, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.scheduler = Scheduler(service.limits.waiting, service.limits.at_once)
        try:
            yield
        finally:
            await asyncio.to_thread(service.scheduler.close)

    # No /docs: those pages load scripts from a CDN. /openapi.json has the same content.
    app = FastAPI(title="ddpm", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_exception_handler(404, _http_error)
    app.add_exception_handler(405, _http_error)

    for path, request in service.routes.items():
        app.add_api_route(
            path,
            service.endpoint(request),
            methods=["POST"],
            name=path.rpartition("/")[2],
            responses=responses(service.serving.media),
            openapi_extra={"requestBody": request_body(request)},
        )

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        """The bundle's digest, classes, defaults, limits and provenance."""
        return service.model_info

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the process runs."""
        return {"status": "live"}

    @app.get("/health/ready", responses={503: {"description": "No request can be answered now."}})
    async def ready() -> Response:
        """200 while requests are accepted."""
        if service.scheduler is not None and service.scheduler.alive:
            return _json(200, {"status": "ready"})
        return _error(503, "not_ready", "the server is starting or shutting down")

    return app


class _Service:
    """The state and work behind the routes."""

    def __init__(self, sampler: Sampler, limits: Limits) -> None:
        spec = sampler.bundle.spec
        self.sampler, self.kind = sampler, spec.kind
        self.serving = kind_of(self.kind).serving()
        self.routes = self.serving.routes(spec)
        self.body_bytes = self.serving.body_bytes if limits.body_bytes is None else limits.body_bytes
        self.most_cost = self.serving.most_cost if limits.cost is None else limits.cost
        self.limits = replace(limits, cost=self.most_cost, body_bytes=self.body_bytes)
        self.scheduler: Scheduler | None = None
        self.model_info = _model_info(sampler, self.limits, list(self.routes))

    def endpoint(self, request: type[Request]) -> Callable[[Http], Awaitable[Response]]:
        """What answers such requests."""

        async def samples(http: Http) -> Response:
            """Sample. The same request gives the same bytes."""
            return await self.samples(http, request)

        return samples

    async def samples(self, http: Http, kind: type[Request]) -> Response:
        """Answer a request with its samples, or with an error as a small JSON body."""
        if http.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return _error(415, "unsupported_media_type", "send JSON, with the header Content-Type: application/json")
        body = await self._body(http)
        if body is None:
            return _error(413, "body_too_large", f"the body must have at most {self.body_bytes} bytes")
        try:
            request, recipe, asked = await asyncio.to_thread(self._read, kind, body)
        except InvalidRequest as error:
            return _error(422, "invalid_request", str(error), {"fields": error.faults})
        except ParamsError as error:
            return _error(422, "invalid_request", str(error))
        cost = recipe.cost(len(asked.seeds))
        if cost > self.most_cost:
            return _error(
                422,
                "too_costly",
                f"n x evaluations (twice where guidance acts) must be at most {self.most_cost}, got {cost}; ask for "
                f"fewer {self.kind} or steps at a time",
                {"cost": cost, "limit": self.most_cost},
            )
        return await self._answer(http, request, recipe, asked, cost)

    def _read(self, kind: type[Request], body: bytes) -> tuple[Request, Recipe, Asked]:
        request = kind.from_json(body)
        return request, request.recipe_for(self.sampler), request.asked_of(self.sampler.bundle.spec)

    async def _answer(self, http: Http, request: Request, recipe: Recipe, asked: Asked, cost: int) -> Response:
        start = time.monotonic()
        job = Job(lambda check: self._sample(request, recipe, asked, check), cost, start + self.limits.seconds)
        try:
            if self.scheduler is None:
                raise SchedulerClosed("the server is starting; try again in a moment")
            self.scheduler.submit(job)
            content = await _result_while_connected(http, job)
        except QueueFull as error:
            return _error(429, "queue_full", str(error), headers={"Retry-After": str(error.retry_after)})
        except SchedulerClosed as error:
            return _error(503, "not_ready", str(error), headers={"Retry-After": "5"})
        except JobTimeout as error:
            return _error(504, "too_late", str(error))
        except JobCancelled:
            if self.scheduler is not None and not self.scheduler.alive:
                return _error(503, "not_ready", "the server is shutting down", headers={"Retry-After": "5"})
            log.info("client disconnected; request cancelled")
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except DdpmError as error:
            log.error("%s", error)
            return _error(500, "cannot_sample", str(error))
        log.info("%s: %d, cost: %d, seconds: %.2f", self.kind, request.count, cost, time.monotonic() - start)
        media = self.serving.media[request.format]
        return Response(content, media_type=media, headers=self._headers(request, recipe))

    def _sample(self, request: Request, recipe: Recipe, asked: Asked, check: Callable[[], None]) -> bytes:
        """Sample and encode; runs in a worker thread."""
        data = self.sampler.sample(recipe, asked.seeds, asked.cond, on_step=lambda done, total: check())
        samples = Samples(data, asked.cond, asked.seeds, self.sampler.made_by(recipe), asked.about)
        return self.serving.encode(samples, request.format)

    def _headers(self, request: Request, recipe: Recipe) -> dict[str, str]:
        made_by = {f"X-{key.title()}": value for key, value in self.sampler.made_by(recipe).items()}
        return {**made_by, "X-Seeds": ",".join(str(seed) for seed in request.seeds), "Cache-Control": "no-store"}

    async def _body(self, http: Http) -> bytes | None:
        """The body, or None as soon as it is larger than allowed."""
        declared = http.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > self.body_bytes:
            return None
        parts, size = [], 0
        async for part in http.stream():
            size += len(part)
            if size > self.body_bytes:
                return None
            parts.append(part)
        return b"".join(parts)


async def _result_while_connected(http: Http, job: Job) -> bytes:
    """The job's result. The job is cancelled at its next step when the client disconnects."""
    future = asyncio.wrap_future(job.future)
    try:
        while not (await asyncio.wait({future}, timeout=_POLL_SECONDS))[0]:
            if await http.is_disconnected():
                job.cancel()
    except asyncio.CancelledError:  # the server cancels the request
        job.cancel()
        raise
    content: bytes = future.result()
    return content


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
    routes = ", ".join(f"POST {path}" for path in app.state.service.routes)
    log.info("serving on http://%s:%d (%s); stop with ctrl-c", host, port, routes)
    try:
        uvicorn.Server(config).run()
    except KeyboardInterrupt:
        log.info("stopped")


def _model_info(sampler: Sampler, limits: Limits, routes: list[str]) -> dict[str, Any]:
    bundle = sampler.bundle
    return {
        "bundle": bundle.digest,
        "kind": bundle.spec.kind,
        "routes": routes,
        "about": dict(bundle.spec.about),
        "shape": list(bundle.spec.shape),
        "classes": list(bundle.spec.classes),
        "conditional": bool(bundle.spec.conditions),
        "defaults": asdict(sampler.defaults),
        "samplers": list(sampler_kinds()),
        "levels": bundle.schedule.T,
        "limits": {**asdict(limits), bundle.spec.kind: MOST_SAMPLES},
        "device": sampler.device,
        "provenance": dict(bundle.provenance),
    }


async def _http_error(request: Http, error: Exception) -> Response:
    """404, 405 and other HTTP errors in the shape of our own."""
    status = int(getattr(error, "status_code", 500))
    known = {404: "not_found", 405: "method_not_allowed"}
    message = "not found; /openapi.json lists the routes" if status == 404 else f"HTTP status {status}"
    headers = getattr(error, "headers", None)
    return _error(status, known.get(status, "http_error"), message, headers=headers)


def _error(
    status: int, code: str, message: str, more: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> Response:
    return _json(status, {"error": {"code": code, "message": message, **(more or {})}}, headers)


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    # ASCII: a lone surrogate in a text of the client could not be encoded as UTF-8.
    body = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Response(body, status, headers, media_type="application/json")
