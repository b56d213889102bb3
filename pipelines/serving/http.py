"""What the routes share of HTTP: errors as a small JSON body, and a body that is read within a limit."""

import json
from typing import Any

from fastapi import FastAPI, Response
from fastapi import Request as Http

from pipelines.serving.ops.facts import current

CLIENT_CLOSED_REQUEST = 499  # the status of nginx for its logs; no client reads it
TENSORS_BEGIN = "Inference-Header-Content-Length"
"""The header that says at which byte of a body binary tensors begin, behind JSON."""
INFERENCE_PROTOCOL = "/v2"
"""Here and below, errors are as the Open Inference Protocol has them: a text, and 400 for what is not allowed."""
OPENAI = ("/v1/images/generations", "/v1/images/edits")
"""Here errors are as OpenAI has them: with a type and the parameter that is wrong, and 400 for what is not allowed."""
FAILED = "the server failed; its log has the request's id"
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class HttpError(Exception):
    """A request that is answered by an error: `more` goes into the body beside code and message."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        more: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.code, self.message, self.more, self.headers = status, code, message, more, headers
        super().__init__(message)


def error_response(
    path: str,
    status: int,
    code: str,
    message: str,
    more: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer to a request for `path`, in the shape that its clients know."""
    if path == INFERENCE_PROTOCOL or path.startswith(f"{INFERENCE_PROTOCOL}/"):
        return json_response(400 if status == 422 else status, {"error": message}, headers)
    if path in OPENAI:
        return json_response(
            400 if status == 422 else status, {"error": openai_content(status, code, message, more)}, headers
        )
    return json_response(status, {"error": {"code": code, "message": message, **(more or {})}}, headers)


def openai_content(status: int, code: str, message: str, more: dict[str, Any] | None) -> dict[str, Any]:
    """What OpenAI's clients look for under `error`: a message, a type, the parameter that is wrong, and a code."""
    fields = (more or {}).get("fields", [])
    param = fields[0]["field"] if fields else "model" if code == "model_not_found" else None
    kind = "server_error" if status >= 500 else _OPENAI_TYPES.get(status, "invalid_request_error")
    return {"message": message, "type": kind, "param": None if param == "body" else param, "code": code}


def json_response(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    # ASCII: a lone surrogate in a text of the client could not be encoded as UTF-8.
    body = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Response(body, status, headers, media_type="application/json")


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the shape of its route, those that nobody foresaw too."""
    for error in (HttpError, 404, 405):
        app.add_exception_handler(error, http_error)
    app.add_exception_handler(Exception, failure)


async def failure(request: Http, error: Exception) -> Response:
    """The code failed: who asked is told no more than that. The framework raises the error again, to be logged."""
    return error_response(request.scope["path"], 500, "internal_error", FAILED)


async def http_error(request: Http, error: Exception) -> Response:
    """An HttpError as an answer; and 404, 405 and other errors of the framework in the same shape."""
    path = request.scope["path"]
    if isinstance(error, HttpError):
        current().outcome = error.code
        return error_response(path, error.status, error.code, error.message, error.more, error.headers)
    status = int(getattr(error, "status_code", 500))
    known = {404: "not_found", 405: "method_not_allowed"}
    message = "not found; /openapi.json lists the routes" if status == 404 else f"HTTP status {status}"
    headers = getattr(error, "headers", None)
    current().outcome = code = known.get(status, "http_error")
    return error_response(path, status, code, message, headers=headers)


async def json_body(http: Http, limit: int) -> bytes:
    """The body of a request that says it sends JSON."""
    if http.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise HttpError(415, "unsupported_media_type", "send JSON, with the header Content-Type: application/json")
    return await body_within(http, limit)


async def body_within(http: Http, limit: int) -> bytes:
    """The body; HttpError where it is compressed, and as soon as it is larger than `limit` bytes."""
    if http.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HttpError(
            415, "unsupported_media_type", "Content-Encoding: is not supported by this service; leave it out"
        )
    declared = http.headers.get("content-length", "0")
    check_size(int(declared[:20]) if declared.isdecimal() else limit + 1, limit)
    parts, size = [], 0
    async for part in http.stream():
        size += len(part)
        check_size(size, limit)
        parts.append(part)
    return b"".join(parts)


def check_size(size: int, limit: int) -> None:
    """HttpError where a body is larger than allowed."""
    if size > limit:
        raise HttpError(413, "body_too_large", f"the body must have at most {limit} bytes")
