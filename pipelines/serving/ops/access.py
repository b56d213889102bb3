"""Who may ask: requests without a good API key are refused before they reach a route."""

import math
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.serving.http import error_response
from pipelines.serving.ops.facts import current
from pipelines.serving.ops.keys import KeyRing

METRICS = "/metrics"


class Keyed:
    """`Authorization: Bearer KEY` on all paths but those of `open_paths`; 401, 403 or 429 without reading the body.

    An open path that ends in `/` but is not `/` stands for all below it.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, open_paths: Collection[str]) -> None:
        self._app, self._ring = app, ring
        self._open = frozenset(open_paths)
        self._folders = tuple(path for path in open_paths if path != "/" and path.endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, code, message, headers = refused
        current().outcome = code
        await error_response(scope["path"], status, code, message, headers=headers)(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open or path.startswith(self._folders)

    def _refusal(self, scope: Scope) -> tuple[int, str, str, dict[str, str]] | None:
        presented = _bearer(scope)
        if presented is None:
            return 401, "unauthorized", "send an API key: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
        key = self._ring.find(presented)
        if key is None:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return 401, "unauthorized", "the API key is not known here; ask who runs the service for one", challenge
        current().key = key.name
        if key.only == "metrics" and scope["path"] != METRICS:
            return 403, "forbidden", f"this API key is for {METRICS} only; use another one", {}
        seconds = math.ceil(self._ring.wait(key))
        if seconds:
            message = f"this API key allows {key.rate:g} requests a second; try again in {seconds} s"
            return 429, "rate_limited", message, {"Retry-After": str(seconds)}
        return None


def _bearer(scope: Scope) -> bytes | None:
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(sent) != 1:
        return None
    scheme, _, key = sent[0].strip().partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" and key.strip() else None
