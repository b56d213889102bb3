"""Errors in OpenAI's shape: a message, a type, the parameter that is wrong, and a code."""

from typing import Any

from fastapi import Response

from pipelines.serving.http import HttpError, json_response, openai_content


def error_body(error: HttpError) -> dict[str, Any]:
    """What stands under `error`."""
    return openai_content(error.status, error.code, error.message, error.more)


def openai_error(error: HttpError) -> Response:
    """The answer; what our own routes answer by 422 is 400 with OpenAI, whose clients know it as a bad request."""
    status = 400 if error.status == 422 else error.status
    return json_response(status, {"error": error_body(error)}, error.headers)
