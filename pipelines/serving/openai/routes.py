"""`POST /v1/images/generations` and `POST /v1/images/edits`."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Response
from fastapi import Request as Http
from fastapi.responses import StreamingResponse

from ddpm_core.errors import ParamsError
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.hosted import Models
from pipelines.serving.http import HttpError, body_within, check_size, json_body, json_response
from pipelines.serving.openai.errors import openai_error
from pipelines.serving.openai.order import Order, edit, generation, read_edit
from pipelines.serving.openai.requests import ImageEdit, ImageGeneration
from pipelines.serving.openai.stream import HEADERS, events
from pipelines.serving.ops.facts import current

_T = TypeVar("_T")
_FORM = "multipart/form-data"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_REFUSALS = {
    400: "The request is not allowed, or too costly; `param` says what is wrong.",
    404: "The model does not exist.",
    413: "The body is too large.",
    415: "The body is not of the route's media type.",
    429: "The queue is full; Retry-After says when to try again.",
    500: "Sampling failed.",
    503: "The server is starting or shutting down.",
    504: "The request took longer than allowed.",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pictures in base64, or with `stream` the events of OpenAI's stream.",
        "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
    },
    **{
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _REFUSALS.items()
    },
}


def openai_router(models: Models) -> APIRouter:
    """The routes of OpenAI's images; none where no model is of pictures."""
    routes = APIRouter()
    pictures = [(path, route.serving.web_files) for path, route in models.routes.items()]
    path, files = next(((path, files) for path, files in pictures if files is not None), (None, None))
    if path is None or files is None:
        return routes

    async def generations(http: Http) -> Response:
        """Pictures of classes, as OpenAI's clients ask for them. The same request gives the same pictures."""
        models.must_have_place(http)
        body = await json_body(http, models.body_bytes(path))
        request = await _read(ImageGeneration, ImageGeneration.from_json, body)
        service = await models.get(request.model, path)
        check_size(len(body), service.body_bytes)
        return await _answer(http, await _read(ImageGeneration, generation, files, service, request))

    async def edits(http: Http) -> Response:
        """A picture, filled where its mask is transparent, or varied, as OpenAI's clients ask for it."""
        models.must_have_place(http)
        content_type = http.headers.get("content-type", "")
        if content_type.split(";")[0].strip().lower() != _FORM:
            raise HttpError(415, "unsupported_media_type", f"send a form with files, Content-Type: {_FORM}")
        infos = [models.info(card["id"]) for card in models.cards() if path in card["routes"]]
        body = await body_within(http, max(_form_bytes(info) for info in infos))
        form = await _read(ImageEdit, read_edit, content_type, body)
        service = await models.get(form.request.model, path)
        check_size(len(body), _form_bytes(service.model_info))
        return await _answer(http, await _read(ImageEdit, edit, files, service, form))

    for endpoint, request, media in ((generations, ImageGeneration, "application/json"), (edits, ImageEdit, _FORM)):
        routes.add_api_route(
            f"/v1/images/{endpoint.__name__}",
            _with_openai_errors(endpoint),
            methods=["POST"],
            name=endpoint.__name__,
            description=endpoint.__doc__,
            responses=_RESPONSES,
            openapi_extra={"requestBody": {"required": True, "content": {media: {"schema": request.schema_of()}}}},
        )
    return routes


def _form_bytes(info: Mapping[str, Any]) -> int:
    """The most bytes of a form: those of a body, and twice a picture as RGBA that did not compress."""
    size: int = info["limits"]["body_bytes"] + 12 * math.prod(info["shape"][1:])
    return size


def _with_openai_errors(endpoint: Callable[[Http], Awaitable[Response]]) -> Callable[[Http], Awaitable[Response]]:
    async def answered(http: Http) -> Response:
        try:
            return await endpoint(http)
        except HttpError as error:
            current().outcome = error.code
            return openai_error(error)

    return answered


async def _read(kind: type[ImageGeneration], read: Callable[..., _T], *given: Any) -> _T:
    """Off the event loop, as a large body takes long to read."""
    try:
        return await asyncio.to_thread(read, *given)
    except InvalidRequest as error:
        known = error.faults[0]["field"] in (*kind.schema_of()["properties"], "body")
        code = "invalid_value" if known else "unknown_parameter"
        raise HttpError(400, code, str(error), {"fields": error.faults}) from error
    except ParamsError as error:
        raise HttpError(400, "invalid_value", str(error)) from error


async def _answer(http: Http, order: Order) -> Response:
    headers = order.service.headers(order.request, order.recipe)
    if order.request.stream:
        sent = events(order, http)
        first = await anext(sent)  # a refusal still has its own status

        async def all_events() -> Any:
            yield first
            async for event in sent:
                yield event

        return StreamingResponse(all_events(), media_type="text/event-stream", headers={**headers, **HEADERS})
    samples = await order.samples(http)
    content = {
        "created": int(time.time()),
        "background": order.background,
        "output_format": order.request.format,
        "size": order.size,
        "data": await order.pictures(samples),
    }
    return json_response(200, content, headers)
