"""Around every request: its id, one log line, its metrics, and an answer in our shape when the code fails."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import asdict

from h11 import LocalProtocolError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.http import CLIENT_CLOSED_REQUEST, FAILED, error_response
from pipelines.serving.ops.facts import CURRENT, RequestFacts
from pipelines.serving.ops.guarded import HEADERS
from pipelines.serving.ops.metrics import Metrics

log = logging.getLogger(__name__)

_NO_ADDRESS = re.compile(r"[^0-9A-Za-z.:%_-]")  # a proxy may tell whatever its client wrote
_LONGEST_ADDRESS = 64
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PROBES = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics")
"""Asked for by machines every few seconds: their lines are logged for --debug alone."""
_BY_THE_CLIENT = (ClientDisconnect, LocalProtocolError)
"""The client left in the middle of its body, or what it sent ended the protocol before an answer could be written."""
OTHER = "other"
"""The route of requests that no route takes: their paths are the clients' own."""


class Observed:
    """The id of a request is its X-Request-Id if that is 1 to 64 letters, digits, `.`, `_` or `-`, else a new one."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        paths: Callable[[], Collection[str]],
        *,
        annotate: Callable[[RequestFacts], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths
        self._annotate, self._clock, self._new_id = annotate, clock, new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = RequestFacts(_sent_id(scope) or self._new_id())
        token = CURRENT.set(facts)
        start, status, whole = self._clock(), 0, False

        async def answer(message: Message) -> None:
            nonlocal status, whole
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", facts.id.encode())]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except _BY_THE_CLIENT as error:  # a traceback for each would let clients fill the log
            status, facts.outcome = CLIENT_CLOSED_REQUEST, "client_closed_request"
            log.debug("%s while answering %s", type(error).__name__, self._route(scope))
        except asyncio.CancelledError:  # the server stops, and had no more time for this; who cancels is not answered
            if status == 0:
                headers = {"Connection": "close", "Retry-After": "5", **HEADERS}
                message = "the server is shutting down and could not finish the request; try again later"
                await error_response(scope["path"], 503, "not_ready", message, headers=headers)(scope, receive, answer)
            status, facts.outcome = 503, "not_ready"
        except Exception as error:
            log.exception("%s while answering %s", type(error).__name__, self._route(scope))
            if status == 0:
                refused = error_response(scope["path"], 500, "internal_error", FAILED, headers=dict(HEADERS))
                await refused(scope, receive, answer)
            status, facts.outcome = 500, "internal_error"
        else:
            if status and not whole:  # the framework ends a stream whose client has left
                status, facts.outcome = CLIENT_CLOSED_REQUEST, "client_closed_request"
        finally:
            self._told(scope, facts.failed or status or CLIENT_CLOSED_REQUEST, self._clock() - start, facts)
            CURRENT.reset(token)

    def _told(self, scope: Scope, status: int, seconds: float, facts: RequestFacts) -> None:
        route = self._route(scope)
        self._metrics.request(route, status, seconds, facts)
        if self._annotate is not None:
            self._annotate(facts)
        client = scope.get("client")
        told = {
            "method": scope["method"] if scope["method"] in _METHODS else OTHER,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            "client": _NO_ADDRESS.sub("?", client[0])[:_LONGEST_ADDRESS] if client else None,
            **{name: value for name, value in asdict(facts).items() if name not in ("id", "failed")},
        }
        log.log(logging.DEBUG if route in PROBES else logging.INFO, "request", extra={"facts": told})

    def _route(self, scope: Scope) -> str:
        """The route's template. What the client wrote appears only where it is the path of a route."""
        template = getattr(scope.get("route"), "path", None)
        if isinstance(template, str):
            return template or "/"  # a mounted folder
        return scope["path"] if scope["path"] in (*PROBES, *self._paths()) else OTHER


def _sent_id(scope: Scope) -> str | None:
    sent = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return sent[0].decode() if len(sent) == 1 and _SANE_ID.fullmatch(sent[0]) else None
