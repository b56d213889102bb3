"""Security headers on every answer, where a route has none of its own, and a time limit for every request's body."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.http import HttpError, error_response
from pipelines.serving.ops.facts import current

HEAD_BYTES = 16 * 1024

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Guarded:
    """A head that is too large ends the request with 431, a body that has not come after `body_seconds` with 408."""

    def __init__(self, app: ASGIApp, body_seconds: float) -> None:
        self._app, self._body_seconds = app, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _head_bytes(scope) > HEAD_BYTES:
            current().outcome = code = "head_too_large"
            message = f"the path and the headers must have at most {HEAD_BYTES} bytes together"
            headers = {"Connection": "close", **HEADERS}
            await error_response(scope["path"], 431, code, message, headers=headers)(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self._body_seconds
        whole = False

        async def receive_in_time() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HttpError(
                    408,
                    "body_too_slow",
                    f"the body must arrive within {self._body_seconds:g} s",
                    headers={"Connection": "close"},
                ) from error
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}  # a route may be stricter
                added = [(name, value) for name, value in _RAW if name not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive_in_time, send_with_headers)


def _head_bytes(scope: Scope) -> int:
    named = sum(len(name) + len(value) for name, value in scope["headers"])
    return named + len(scope["path"]) + len(scope["query_string"])
