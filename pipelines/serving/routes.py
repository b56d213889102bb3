"""The routes of each kind of data, `GET /v1/model` and the routes of health."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as Http

from pipelines.serving.base.request import Request
from pipelines.serving.hosted import Models
from pipelines.serving.http import HttpError, check_size, json_body, json_response
from pipelines.serving.openapi import request_body, responses
from pipelines.serving.service import read_request


def samples_router(models: Models) -> APIRouter:
    """The routes of the models' kinds of data, as `POST /v1/images`."""
    routes = APIRouter()
    for path, (request, serving) in models.routes.items():
        routes.add_api_route(
            path,
            _endpoint(models, path, request),
            methods=["POST"],
            name=path.rpartition("/")[2],
            responses=responses(serving.media),
            openapi_extra={"requestBody": request_body(request)},
        )
    return routes


def _endpoint(models: Models, path: str, kind: type[Request]) -> Callable[[Http], Awaitable[Response]]:
    async def samples(http: Http) -> Response:
        """Sample. The same request gives the same bytes."""
        models.must_have_place(http)
        body = await json_body(http, models.body_bytes(path))
        request = await read_request(kind, body)
        service = await models.get(request.model, path)
        check_size(len(body), service.body_bytes)
        recipe, asked = await service.asked(request)
        made = await service.sampled(http, request, recipe, asked)
        content = await service.encoded(made, request.format)
        media = service.serving.media[request.format]
        return Response(content, media_type=media, headers=service.headers(request, recipe))

    return samples


def model_router(models: Models) -> APIRouter:
    """`GET /v1/models`, in the shape of OpenAI's list, and what is told of one model."""
    routes = APIRouter()

    @routes.get("/v1/models")
    async def every() -> dict[str, Any]:
        """The models by name: kind, bundle, version, provider, limits."""
        return {"object": "list", "data": models.cards()}

    @routes.get("/v1/models/{name}", responses={404: {"description": "No model has this name."}})
    async def one(name: str) -> dict[str, Any]:
        """A model of the list, with its classes, defaults and provenance."""
        return {**models.info(name), **models.card(name)}

    @routes.get("/v1/model")
    async def model() -> dict[str, Any]:
        """The bundle's digest, classes, defaults, limits and provenance; of several models, the first one's."""
        return dict(models.info())

    return routes


def health_router(models: Models) -> APIRouter:
    """`GET /health/live` and `GET /health/ready`."""
    routes = APIRouter()

    @routes.head("/health/live", include_in_schema=False)
    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the process runs."""
        return {"status": "live"}

    @routes.head("/health/ready", include_in_schema=False)
    @routes.get("/health/ready", responses={503: {"description": "No request can be answered now."}})
    async def ready() -> Response:
        """200 while requests are accepted."""
        if models.ready:
            return json_response(200, {"status": "ready"})
        raise HttpError(503, "not_ready", "the server is starting or shutting down")

    return routes
