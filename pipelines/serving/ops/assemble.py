"""The application with everything around it that an operator needs, and how the server runs it."""

import functools
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from pipelines.serving.http import TENSORS_BEGIN
from pipelines.serving.ops import traces
from pipelines.serving.ops.access import METRICS, Keyed
from pipelines.serving.ops.connection import TimedConnection
from pipelines.serving.ops.connections import Connections, NotCrowded
from pipelines.serving.ops.guarded import HEAD_BYTES, Guarded
from pipelines.serving.ops.keys import KeyRing
from pipelines.serving.ops.metrics import Metrics
from pipelines.serving.ops.observed import Observed
from pipelines.serving.ops.settings import Settings, addresses

OPEN_PATHS = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/", "/page/")
"""Without a key too: a browser sends none when it opens the page, whose files are no secret."""


def operated(app: FastAPI, settings: Settings, metrics: Metrics, connections: Connections | None = None) -> ASGIApp:
    """The application behind keys, CORS, limits of time, security headers, ids, logs and metrics, outermost last."""
    if settings.metrics != "off":
        add_metrics(app, metrics)
    inner: ASGIApp = app
    if settings.keys is not None:
        open_paths = (*OPEN_PATHS, METRICS) if settings.metrics == "open" else OPEN_PATHS
        inner = Keyed(inner, KeyRing(Path(settings.keys)), open_paths)
    if settings.cors:
        inner = CORSMiddleware(
            inner,
            allow_origins=settings.cors,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),  # clients add their own: x-stainless-*, traceparent
            expose_headers=(
                *("X-Request-Id", "X-Seeds", "X-Bundle", "X-Sampler", "X-Steps", "X-Guidance", "Retry-After"),
                TENSORS_BEGIN,
            ),
        )
    if connections is not None:
        inner = NotCrowded(inner, connections)
    inner = Guarded(inner, settings.body_timeout)
    spans = settings.traces == "otlp"
    inner = Observed(inner, metrics, lambda: app.openapi()["paths"], annotate=traces.annotate if spans else None)
    return traces.traced(inner) if spans else inner


def add_metrics(app: FastAPI, metrics: Metrics) -> None:
    """`GET /metrics`."""

    async def text(request: Request) -> Response:
        content, media = metrics.text(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": media, "Cache-Control": "no-store"})

    app.add_route(METRICS, text, methods=["GET"], include_in_schema=False)


def server_config(
    app: ASGIApp, settings: Settings, connections: Connections, malformed: Callable[[], None]
) -> uvicorn.Config:
    """How uvicorn serves the application. `malformed` is told of each request that is not HTTP."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=functools.partial(  # type: ignore[arg-type]  # uvicorn calls it as it would the class
            TimedConnection,
            head_seconds=settings.head_timeout,
            write_seconds=settings.write_timeout,
            connections=connections,
            malformed=malformed,
        ),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        h11_max_incomplete_event_size=HEAD_BYTES,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=addresses(settings.trusted_proxies),
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.stop_timeout + 2,  # the requests in hand are told to end before
    )
