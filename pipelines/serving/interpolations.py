"""`POST /v1/images/interpolations`: pictures between two seeds, each as base64 with its place on the way."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as Http

from pipelines.kinds.pictures.serving.interpolation import InterpolationRequest
from pipelines.sampling.editing import Editor
from pipelines.serving.base.serving import Samples, WebFiles
from pipelines.serving.hosted import Models
from pipelines.serving.http import HttpError, check_size, json_body, json_response
from pipelines.serving.openapi import request_body, responses
from pipelines.serving.service import read_request

_IMAGES = "/v1/images"
"""A model that answers here makes pictures."""


def interpolations_router(models: Models) -> APIRouter:
    """The route, where there is a model of pictures."""
    routes = APIRouter()
    if _IMAGES not in models.routes:
        return routes

    async def interpolations(http: Http) -> Response:
        """Pictures between two seeds. The same request gives the same pictures."""
        models.must_have_place(http)
        body = await json_body(http, models.body_bytes(_IMAGES))
        request = await read_request(InterpolationRequest, body)
        service = await models.get(request.model, _IMAGES)
        check_size(len(body), service.body_bytes)
        recipe, asked = await service.asked(request)
        files = service.serving.web_files
        if files is None:
            raise HttpError(404, "not_found", "this model makes no files of pictures; ask another one")
        editor = Editor(service.sampler, recipe, request.count, asked.cond)
        edit = await asyncio.to_thread(editor.interpolation, request.seed, request.to_seed)
        made = await service.sampled(http, request, recipe, asked, edit=edit)
        made = replace(made, made_by={**made.made_by, "edit": "interpolate", "to_seed": str(request.to_seed)})
        data = await asyncio.to_thread(_pictures, files, made, request.shares)
        content = {"made_by": dict(made.made_by), "data": data}
        return json_response(200, content, service.headers(request, recipe))

    routes.add_api_route(
        "/v1/images/interpolations",
        interpolations,
        methods=["POST"],
        name="interpolations",
        responses=responses({"json": "application/json"}),
        openapi_extra={"requestBody": request_body(InterpolationRequest)},
    )
    return routes


def _pictures(files: WebFiles, made: Samples, shares: list[float]) -> list[dict[str, Any]]:
    return [
        {"share": share, "b64_json": b64encode(files.write(made, i, "png", 100)).decode("ascii")}
        for i, share in enumerate(shares)
    ]
