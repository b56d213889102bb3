"""The routes of the Open Inference Protocol: health, metadata and inference, of each model's sampler and network."""

import asyncio
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any, NamedTuple, TypeVar

from fastapi import APIRouter, Response
from fastapi import Request as Http

from ddpm_core.errors import ParamsError
from pipelines.serving.hosted import Models
from pipelines.serving.http import INFERENCE_PROTOCOL, TENSORS_BEGIN, HttpError, body_within
from pipelines.serving.inference_protocol.described import RESPONSES, request_body
from pipelines.serving.inference_protocol.inference import answer, check_outputs, read_inputs, sampling
from pipelines.serving.inference_protocol.models import Described, described, evaluate, split, versions
from pipelines.serving.inference_protocol.requests import read_body

_T = TypeVar("_T")
_JSON, _BINARY = "application/json", "application/octet-stream"
_NOT_READY = "the server is starting or shutting down"
_MODEL = "/models/{name}"
_VERSION = "/models/{name}/versions/{version}"


class _Named(NamedTuple):
    """What a path names."""

    model: str
    network: bool
    versions: list[str]
    described: Described


def inference_router(models: Models) -> APIRouter:
    """The routes of `/v2`."""
    routes = APIRouter(prefix=INFERENCE_PROTOCOL)

    @routes.get("", responses=RESPONSES)
    async def server() -> dict[str, Any]:
        """The server: name, version, and the extensions of the protocol."""
        return {"name": "ddpm", "version": _version(), "extensions": ["binary_tensor_data"]}

    @routes.head("/health/live", include_in_schema=False)
    @routes.get("/health/live")
    async def server_live() -> dict[str, bool]:
        """200 while the process runs."""
        return {"live": True}

    @routes.head("/health/ready", include_in_schema=False)
    @routes.get("/health/ready", responses=RESPONSES)
    async def server_ready() -> dict[str, bool]:
        """200 while requests are accepted."""
        _must_be_ready(models)
        return {"ready": True}

    async def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        """A model's versions, inputs and output. NAME is a model's sampler, NAME.network its network alone."""
        named = _named(models, name, version)
        return {
            "name": name,
            "versions": named.versions,
            "platform": named.described.platform,
            "inputs": [tensor.metadata() for tensor in named.described.inputs],
            "outputs": [named.described.output.metadata()],
        }

    async def ready(name: str, version: str | None = None) -> dict[str, Any]:
        """200 while the model answers."""
        _named(models, name, version)
        _must_be_ready(models)
        return {"name": name, "ready": True}

    async def infer(http: Http, name: str, version: str | None = None) -> Response:
        """Sample, or evaluate the network. The same request gives the same bytes."""
        models.must_have_place(http)
        return await _infer(models, http, name, version)

    for path in (_MODEL, _VERSION):
        own = "" if path == _MODEL else "version_"
        routes.add_api_route(path, metadata, methods=["GET"], name=f"{own}metadata", responses=RESPONSES)
        routes.add_api_route(f"{path}/ready", ready, methods=["GET"], name=f"{own}ready", responses=RESPONSES)
        routes.add_api_route(
            f"{path}/infer",
            infer,
            methods=["POST"],
            name=f"{own}infer",
            responses=RESPONSES,
            openapi_extra={"requestBody": request_body()},
        )
    return routes


def _version() -> str:
    try:
        return version_of("ddpm-pipeline")
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def _must_be_ready(models: Models) -> None:
    if not models.ready:
        raise HttpError(503, "not_ready", _NOT_READY, headers={"Retry-After": "5"})


def _named(models: Models, name: str, version: str | None) -> _Named:
    """HttpError 404 where no model or version has the name."""
    found = split(name, [card["id"] for card in models.cards()])
    if found is None:
        raise HttpError(
            404, "model_not_found", "model: must be one of those that GET /v1/models lists, or its name with .network"
        )
    model, network = found
    info = models.info(model)
    own = versions(models.card(model), info["bundle"])
    _check_version(version, own)
    return _Named(model, network, own, described(info, network))


def _check_version(version: str | None, own: list[str]) -> None:
    if version is not None and version not in own:
        raise HttpError(404, "version_not_found", f"version: must be {' or '.join(own)}, which answers now")


async def _infer(models: Models, http: Http, name: str, version: str | None) -> Response:
    named, begin = _named(models, name, version), http.headers.get(TENSORS_BEGIN)
    _check_media(http)
    limits = models.info(named.model)["limits"]
    body = await body_within(http, named.described.most_bytes(limits["body_bytes"], begin is not None))
    received = await _read(read_body, body, begin)
    service = await models.get(named.model)
    own = versions(models.card(named.model), service.sampler.bundle.digest)
    _check_version(version, own)  # it may have changed while the body came
    of = described(service.model_info, named.network)
    await _read(check_outputs, received.request, of.output)
    inputs = await _read(read_inputs, received, of)
    about: dict[str, Any] = {"model_name": name, "model_version": own[0]}
    headers = {"X-Bundle": service.sampler.bundle.digest, "Cache-Control": "no-store"}
    if named.network:
        count = len(inputs["x"])
        work = partial(evaluate, service.sampler, service.rows, inputs)
        values = await service.scheduled(http, work, count, count, None)
    else:
        draws, recipe, asked = await _read(sampling, service, inputs)
        values = (await service.sampled(http, draws, recipe, asked)).data
        headers |= service.headers(draws, recipe)
        about["parameters"] = service.sampler.made_by(recipe)
    content, begins = await _read(answer, received.request, of.output, values, about)
    if begins is None:
        return Response(content, headers=headers, media_type=_JSON)
    return Response(content, headers={**headers, TENSORS_BEGIN: str(begins)}, media_type=_BINARY)


def _check_media(http: Http) -> None:
    """HttpError where the body is neither JSON nor JSON with binary tensors."""
    media = http.headers.get("content-type", "").split(";")[0].strip().lower()
    if media not in ("", _JSON, _BINARY):
        raise HttpError(415, "unsupported_media_type", f"send {_JSON}, or {_BINARY} with {TENSORS_BEGIN}")


async def _read(read: Callable[..., _T], *given: Any) -> _T:
    """Off the event loop, as large tensors take long to read; HttpError for what is not allowed."""
    try:
        return await asyncio.to_thread(read, *given)
    except ParamsError as error:
        raise HttpError(400, "invalid_request", str(error)) from error
