"""The routes of each kind of data, `GET /v1/model` and the routes of health."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as Http

from pipelines.serving.base.request import Request
from pipelines.serving.hosted import Models
from pipelines.serving.http import error_response, json_body, json_response
from pipelines.serving.openapi import request_body, responses


def samples_router(models: Models) -> APIRouter:
    """The routes of the models' kinds of data, as `POST /v1/images`."""
    routes = APIRouter()
    for path, (request, serving) in models.routes.items():
        routes.add_api_route(
            path,
            _endpoint(models, request),
            methods=["POST"],
            name=path.rpartition("/")[2],
            responses=responses(serving.media),
            openapi_extra={"requestBody": request_body(request)},
        )
    return routes


def _endpoint(models: Models, kind: type[Request]) -> Callable[[Http], Awaitable[Response]]:
    async def samples(http: Http) -> Response:
        """Sample. The same request gives the same bytes."""
        service = await models.get()
        request, recipe, asked = await service.read(kind, await json_body(http, service.body_bytes))
        made = await service.sampled(http, request, recipe, asked)
        content = await service.encoded(made, request.format)
        media = service.serving.media[request.format]
        return Response(content, media_type=media, headers=service.headers(request, recipe))

    return samples


def model_router(models: Models) -> APIRouter:
    """`GET /v1/model`."""
    routes = APIRouter()

    @routes.get("/v1/model")
    async def model() -> dict[str, Any]:
        """The bundle's digest, classes, defaults, limits and provenance."""
        return dict(models.info())

    return routes


def health_router(models: Models) -> APIRouter:
    """`GET /health/live` and `GET /health/ready`."""
    routes = APIRouter()

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the process runs."""
        return {"status": "live"}

    @routes.get("/health/ready", responses={503: {"description": "No request can be answered now."}})
    async def ready() -> Response:
        """200 while requests are accepted."""
        if models.ready:
            return json_response(200, {"status": "ready"})
        return error_response(503, "not_ready", "the server is starting or shutting down")

    return routes
