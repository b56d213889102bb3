"""What OpenAI's image routes take. What the models here have not is refused by name, unless it is left at its default.

The names are OpenAI's, so these bodies are translated: to the conditions and seeds of data, and to a recipe.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ddpm_core.errors import ParamsError
from ddpm_core.pseudo_classes import classes_to_ask_for
from ddpm_core.spec import DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Edit, Editor
from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.labels import conditions_asked, prompted
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import (
    MOST_SEED,
    MOST_STEPS,
    Body,
    InvalidRequest,
    Name,
    RequestConditions,
    Unsupported,
)

_STRENGTH = 0.6  # of an edit without a mask, as of `ddpm edit vary`
_MOST_RESAMPLING = 100
# What an error of the sampler calls a choice, and its name here.
_OWN_NAMES = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "sampler": "sampler",
    "resampling": "resample",
    "inpaint": "mask",
    "vary": "image",
}
# What a form, where every value is a text, holds as numbers, or as true and false.
_NUMBERS = (
    "n",
    "output_compression",
    "stream",
    "partial_images",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "strength",
    "resample",
)
_NUMBER = re.compile(r"true|false|-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")


class ImageGeneration(Body):
    """The body of `POST /v1/images/generations`. Picture i has the seed `seed + i`."""

    prompt: Annotated[str, Field(max_length=32_000)] = Field(
        description="A class by name or number, a list as `3,7` (one of each in turn), `cycle` for all classes in "
        "turn, or `none`. Of a model with attributes each may be told some: `dog; colour=red; size=2, cat`."
    )
    model: Name | None = Field(default=None, description="A model of this service; `GET /v1/models` lists them.")
    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | None = Field(
        default=None, description="How many pictures; left out: as many as the prompt names."
    )
    size: Name | None = Field(default=None, description="`auto`, or the size of the model's pictures, as `28x28`.")
    response_format: Literal["b64_json"] | None = Field(default=None, description="Pictures come in base64 alone.")
    output_format: Literal["png", "webp", "jpeg"] | None = Field(default=None, description="Left out: png.")
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Quality of webp and jpeg; left out: 100, at which webp is lossless."
    )
    stream: bool | None = Field(default=None, description="Send server-sent events.")
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = Field(
        default=None, description="How many unfinished stages of each picture a stream sends; left out: 0."
    )
    seed: Annotated[int, Field(ge=0, le=MOST_SEED - MOST_SAMPLES)] | None = Field(
        default=None, description="The seed of the first picture; left out: 0."
    )
    num_inference_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = Field(
        default=None, description="Steps of the sampler; left out: the bundle's."
    )
    guidance_scale: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Weight of classifier-free guidance, 0 = off; left out: the bundle's."
    )
    sampler: Name | None = Field(default=None, description="A sampler by its kind; left out: the bundle's.")
    user: Name | None = Field(default=None, description="Accepted, not used.")
    safety_identifier: Name | None = Field(default=None, description="Accepted, not used.")
    quality: Literal["auto"] | None = None
    background: Literal["auto", "opaque", "transparent"] | None = Field(
        default=None, description="`auto`, or what the model's pictures have; left out: auto."
    )
    moderation: Literal["auto"] | None = None
    style: Unsupported = None
    svg: Unsupported = None
    complexity: Unsupported = None
    frame_count: Unsupported = None
    frame_duration_ms: Unsupported = None

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Read a form. `null` stands for nothing in what may be left out, as OpenAI's Node client has it."""
        optional = cls.model_fields.keys() - {"prompt"}
        values: dict[str, Any] = {key: text for key, text in texts.items() if text != "null" or key not in optional}
        for key in _NUMBERS:
            if _NUMBER.fullmatch(values.get(key, "")):
                values[key] = json.loads(values[key])
        return cls.from_fields(values)

    @model_validator(mode="after")
    def _choices_go_together(self) -> Self:
        if self.partial_images and not self.stream:
            raise InvalidRequest.of("partial_images", "must be 0 without a stream; give stream true, or leave it out")
        if self.format == "png" and self.percent != 100:
            raise InvalidRequest.of("output_compression", "must be 100 for png; take webp or jpeg, or leave it out")
        named = self.prompt.count(",") + 1
        if named > MOST_SAMPLES:
            raise InvalidRequest.of("prompt", f"must name at most {MOST_SAMPLES} classes, got {named}")
        if self.count < named:
            raise InvalidRequest.of(
                "n", f"must be at least the number of classes in the prompt, {named}, got {self.count}; leave n out"
            )
        return self

    @classmethod
    def schema_of(cls) -> dict[str, Any]:
        """The JSON schema of the body."""
        return cls.model_json_schema()

    @property
    def format(self) -> str:
        return self.output_format or "png"

    @property
    def percent(self) -> int:
        """The quality of webp and jpeg."""
        return 100 if self.output_compression is None else self.output_compression

    @property
    def count(self) -> int:
        return self.prompt.count(",") + 1 if self.n is None else self.n

    @property
    def seeds(self) -> list[int]:
        first = self.seed or 0
        return [first + i for i in range(self.count)]

    def asked_of(self, spec: DataSpec) -> RequestConditions:
        """The seeds and conditions of the pictures; InvalidRequest where the model has not what is asked."""
        size = size_of(spec)
        if self.size not in (None, "auto", size):
            raise InvalidRequest.of("size", f"must be {size}, the model's own, or `auto`; leave it out")
        own = background_of(spec)
        if self.background not in (None, "auto", own):
            raise InvalidRequest.of("background", f"must be {own}, as the model's pictures are, or `auto`")
        if own == "transparent" and self.output_format == "jpeg":
            raise InvalidRequest.of("output_format", "must be png or webp: jpeg cannot hold the model's transparency")
        if not classes_to_ask_for(spec) and not spec.attributes and self.prompt not in ("none", "cycle"):
            raise InvalidRequest.of("prompt", "must be `none`, as this model was trained without labels")
        with own_names():
            label, attributes = prompted(self.prompt, spec)
            cond = conditions_asked(label, self.count, spec, "prompt", attributes, named="prompt")
        return RequestConditions(self.seeds, cond)

    def recipe_for(self, sampler: Sampler) -> Recipe:
        with own_names():
            return sampler.recipe(self.sampler, self.num_inference_steps, self.guidance_scale)


class ImageEdit(ImageGeneration):
    """The texts of `POST /v1/images/edits`, whose files are `image` and `mask`."""

    strength: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description=f"Without a mask: how far towards noise the picture goes; left out: {_STRENGTH}."
    )
    resample: Annotated[int, Field(ge=1, le=_MOST_RESAMPLING)] | None = Field(
        default=None, description="With a mask: how often each step is made (RePaint); left out: once."
    )
    input_fidelity: Unsupported = None

    def most_cost(self, recipe: Recipe, masked: bool) -> int:
        """Network evaluations of single data, as many as there may be at most; known before the edit is prepared."""
        return recipe.cost(self.count) * (self.resample or 1 if masked else 1)

    def edit(
        self, editor: Editor, picture: NDArray[Any], keep: NDArray[np.bool_] | None
    ) -> tuple[Edit, dict[str, str]]:
        """Fill where the picture is not kept, or vary a picture that is kept nowhere; and what is told of it."""
        if keep is None and self.resample is not None:
            raise InvalidRequest.of("resample", "belongs to a mask; give one, or leave resample out")
        if keep is not None and self.strength is not None:
            raise InvalidRequest.of("strength", "belongs to an edit without a mask; leave one of them out")
        with own_names():
            if keep is None:
                strength = _STRENGTH if self.strength is None else self.strength
                return editor.variation(picture, strength), {"edit": "vary", "strength": str(strength)}
            times = self.resample or 1
            return editor.inpainting(picture, keep, times), {"edit": "inpaint", "resample": str(times)}

    @classmethod
    def schema_of(cls) -> dict[str, Any]:
        schema = super().schema_of()
        file = {"type": "string", "format": "binary"}
        image = {**file, "description": "A picture of the model's size: PNG, WebP or JPEG."}
        mask = {**file, "description": "Transparent where the picture is to be filled; left out: its own transparency."}
        return {
            **schema,
            "properties": {"image": image, "mask": mask, **schema["properties"]},
            "required": ["image", *schema["required"]],
        }


def background_of(spec: DataSpec) -> Literal["opaque", "transparent"]:
    """What lies behind a model's pictures, as OpenAI calls it."""
    return "transparent" if spec.channels == 4 else "opaque"


def size_of(spec: DataSpec) -> str:
    """The size of a model's pictures, as OpenAI writes it."""
    return f"{spec.shape[-1]}x{spec.shape[-2]}"


@contextmanager
def own_names() -> Iterator[None]:
    """Turn the sampler's ParamsError `steps: must be ...` into an InvalidRequest of the field that a client gave."""
    try:
        yield
    except InvalidRequest:
        raise
    except ParamsError as error:
        name, colon, message = str(error).partition(": ")
        field = _OWN_NAMES.get(name, name)
        if not colon or field not in ("prompt", *_OWN_NAMES.values()):
            raise
        raise InvalidRequest.of(field, message) from error
