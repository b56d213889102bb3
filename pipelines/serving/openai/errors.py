"""Errors in OpenAI's shape: a message, a type, the parameter that is wrong, and a code."""

from typing import Any

from fastapi import Response

from pipelines.serving.http import HttpError, json_response

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(error: HttpError) -> dict[str, Any]:
    """What stands under `error`."""
    fields = (error.more or {}).get("fields", [])
    param = fields[0]["field"] if fields else "model" if error.code == "model_not_found" else None
    kind = "server_error" if error.status >= 500 else _TYPES.get(error.status, "invalid_request_error")
    return {
        "message": error.message,
        "type": kind,
        "param": None if param == "body" else param,
        "code": error.code,
    }


def openai_error(error: HttpError) -> Response:
    """The answer; what our own routes answer by 422 is 400 with OpenAI, whose clients know it as a bad request."""
    status = 400 if error.status == 422 else error.status
    return json_response(status, {"error": error_body(error)}, error.headers)
