"""What /openapi.json says about the routes of the protocol."""

from typing import Any

from pipelines.serving.http import TENSORS_BEGIN
from pipelines.serving.inference_protocol.requests import InferenceRequest

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_TOLD = {
    400: "The request is not allowed, or too costly; the text says which part.",
    404: "No model or version has this name.",
    413: "The body is too large.",
    415: "The body has another media type, or is compressed.",
    429: "The queue is full; Retry-After says when to try again.",
    500: "Sampling failed.",
    503: "The server is starting or shutting down.",
    504: "The request took longer than allowed.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": _ERROR}}} for status, text in _TOLD.items()
}
_EXAMPLE = {
    "inputs": [
        {"name": "seed", "datatype": "INT64", "shape": [2], "data": [0, 1]},
        {"name": "steps", "datatype": "INT64", "shape": [1], "data": [10]},
    ]
}


def request_body() -> dict[str, Any]:
    """The body of a request. FastAPI does not read it, so it is described here."""
    schema = InferenceRequest.model_json_schema()
    whole = _inlined(schema, schema.pop("$defs"))
    text = f"JSON, and behind it binary tensors; the header {TENSORS_BEGIN} says where they begin."
    return {
        "required": True,
        "content": {
            "application/json": {"schema": whole, "examples": {"two samples": {"value": _EXAMPLE}}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary", "description": text}},
        },
    }


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """The schema with each reference replaced by its definition: an OpenAPI document has another place for those."""
    if isinstance(part, list):
        return [_inlined(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        own = {key: value for key, value in part.items() if key != "$ref"}
        return {**_inlined(definitions[part["$ref"].rpartition("/")[2]], definitions), **own}
    return {key: _inlined(value, definitions) for key, value in part.items()}
