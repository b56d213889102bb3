"""A request of OpenAI's image routes, read for the model that it names, and the pictures that answer it."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

from fastapi import Request as Http

from ddpm_core.errors import DdpmError
from pipelines.sampling.bundle_sampler import Watch
from pipelines.sampling.editing import Edit, Editor
from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.labels import said
from pipelines.serving.base.request import InvalidRequest, RequestConditions
from pipelines.serving.base.serving import Samples, WebFiles
from pipelines.serving.http import HttpError
from pipelines.serving.openai.form import Part, read_form
from pipelines.serving.openai.requests import ImageEdit, ImageGeneration, background_of, size_of
from pipelines.serving.service import Service

log = logging.getLogger(__name__)

_FILES = {"image": "image", "image[]": "image", "mask": "mask"}


@dataclass(frozen=True, eq=False)
class Order:
    """What to make, of which model. `facts` are told of an edit in its pictures."""

    event: str
    service: Service
    files: WebFiles
    request: ImageGeneration
    recipe: Recipe
    asked: RequestConditions
    edit: Edit | None = None
    facts: Mapping[str, str] | None = None

    async def samples(self, http: Http, watch: Watch | None = None) -> Samples:
        """HttpError where they cannot be made."""
        samples = await self.service.sampled(http, self.request, self.recipe, self.asked, watch=watch, edit=self.edit)
        return replace(samples, made_by={**samples.made_by, **(self.facts or {})})

    def file(self, samples: Samples, i: int) -> str:
        """The file of a picture, in base64."""
        return b64encode(self.files.write(samples, i, self.request.format, self.request.percent)).decode("ascii")

    async def pictures(self, samples: Samples) -> list[dict[str, Any]]:
        """What an answer tells of each picture."""
        try:
            return await asyncio.to_thread(self._pictures, samples)
        except DdpmError as error:
            log.error("%s", error)
            raise HttpError(500, "cannot_sample", str(error)) from error

    def _pictures(self, samples: Samples) -> list[dict[str, Any]]:
        spec = self.service.sampler.bundle.spec
        return [
            {"b64_json": self.file(samples, i), "revised_prompt": said(samples.cond, i, spec), "seed": seed}
            for i, seed in enumerate(samples.seeds)
        ]

    @property
    def size(self) -> str:
        return size_of(self.service.sampler.bundle.spec)

    @property
    def background(self) -> str:
        return background_of(self.service.sampler.bundle.spec)


class Form(NamedTuple):
    """What a form with files asks for."""

    request: ImageEdit
    image: bytes
    mask: bytes | None


def read_edit(content_type: str, body: bytes) -> Form:
    """The form in a body; ParamsError where it is none."""
    texts, files = _by_name(read_form(content_type, body))
    request = ImageEdit.from_texts(texts)
    if "image" not in files:
        raise InvalidRequest.of("image", "must be given, as a file")
    return Form(request, files["image"], files.get("mask"))


def generation(files: WebFiles, service: Service, request: ImageGeneration) -> Order:
    """What a request orders of a model; ParamsError or HttpError where it cannot be had."""
    return _order("image_generation", files, service, request)


def edit(files: WebFiles, service: Service, form: Form) -> Order:
    """What a form orders of a model, likewise."""
    request, spec = form.request, service.sampler.bundle.spec
    order = _order("image_edit", files, service, request)
    picture, keep = files.read(form.image, form.mask, spec)
    service.check_cost(request.most_cost(order.recipe, masked=keep is not None))
    editor = Editor(service.sampler, order.recipe, request.count, order.asked.cond)
    made, facts = request.edit(editor, picture, keep)
    given = {"picture": form.image} if form.mask is None else {"picture": form.image, "mask": form.mask}
    digests = {name: sha256(content).hexdigest()[:16] for name, content in given.items()}
    return replace(order, recipe=made.recipe, edit=made, facts={**facts, **digests})


def _order(event: str, files: WebFiles, service: Service, request: ImageGeneration) -> Order:
    asked = request.asked_of(service.sampler.bundle.spec)
    return Order(event, service, files, request, request.recipe_for(service.sampler), asked)


def _by_name(parts: list[Part]) -> tuple[dict[str, str], dict[str, bytes]]:
    """The texts and the files of a form."""
    texts: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in parts:
        name = _FILES.get(part.name, part.name)
        if name in texts or name in files:
            raise InvalidRequest.of(name, "must be given once")
        if (part.filename is None) == (name in _FILES):
            raise InvalidRequest.of(name, "must be a file" if name in _FILES else "must not be a file")
        if part.filename is None:
            texts[name] = part.text
        else:
            files[name] = part.content
    return texts, files
