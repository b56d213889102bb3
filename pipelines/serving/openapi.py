"""What /openapi.json says about the route of a kind of data."""

from collections.abc import Mapping
from typing import Any

from pipelines.serving.base.request import Request


def request_body(request: type[Request]) -> dict[str, Any]:
    """The body of a request. FastAPI does not read it, so it is described here."""
    schema = request.model_json_schema()
    examples = {f"example {i + 1}": {"value": value} for i, value in enumerate(schema.pop("examples", []))}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def responses(media: Mapping[str, str]) -> dict[int | str, dict[str, Any]]:
    """The answers to a request."""
    binary = {"type": "string", "format": "binary"}
    headers = {
        "X-Seeds": {
            "description": "The seed of each sample; of more than 32 the first and the last, as `0-255`.",
            "schema": {"type": "string"},
        },
        "X-Bundle": {"description": "The digest of the bundle.", "schema": {"type": "string"}},
        "X-Sampler": {"description": "The sampler's kind.", "schema": {"type": "string"}},
    }
    error = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                "required": ["code", "message"],
            }
        },
        "required": ["error"],
    }
    told = {
        404: "The model does not exist.",
        413: "The body is too large.",
        415: "The body is not JSON.",
        422: "The request is not allowed, or too costly; `fields` lists what is wrong.",
        429: "The queue is full; Retry-After says when to try again.",
        500: "Sampling failed.",
        503: "The server is starting or shutting down.",
        504: "The request took longer than allowed.",
    }
    answers: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {"application/json": {"schema": error}}}
        for status, text in told.items()
    }
    answers[200] = {
        "description": "The samples.",
        "headers": headers,
        "content": {each: {"schema": {} if each == "application/json" else binary} for each in media.values()},
    }
    return answers
