"""A request for pictures, as JSON says it, judged strictly: exact types, no unknown key, no number that is none."""

from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ddpm_core.errors import ParamsError
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import named, sampler_kinds
from pipelines.serving.labels import Asked, spread
from pipelines.serving.sampler import Recipe, Sampler

MOST_PICTURES = 256
MOST_STEPS = 10_000
# The largest whole number that every JSON reader keeps exact.
MOST_SEED = 2**53
Format = Literal["png", "zip", "npz"]
_Name = Annotated[str, Field(max_length=200)]
_Label = Annotated[int, Field(ge=0, le=MOST_SEED)] | _Name | None
_TOLD = 10
_LONGEST = 80


class Wish(BaseModel):
    """What `POST /v1/images` takes. Picture i has the seed `seed + i`, and is a function of it and its label alone."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        json_schema_extra={
            "examples": [
                {"n": 1, "label": 7, "seed": 0},
                {"labels": [0, 1, 2, 3], "steps": 20, "sampler": "ddim", "guidance": 0.5, "seed": 100, "format": "zip"},
            ]
        },
    )

    n: Annotated[int, Field(ge=1, le=MOST_PICTURES)] | None = Field(
        default=None, description="How many pictures; left out: as many as `labels` has, else 1."
    )
    label: _Label = Field(
        default="cycle", description="One class for all, by number or name; `none` or null: no label; `cycle`: in turn."
    )
    labels: Annotated[list[_Label], Field(min_length=1, max_length=MOST_PICTURES)] | None = Field(
        default=None, description="A class for each picture, in place of `label`."
    )
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = Field(
        default=None, description="Steps of the sampler; left out: the bundle's."
    )
    sampler: _Name | None = Field(default=None, description="A sampler by its kind; left out: the bundle's.")
    guidance: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Weight of classifier-free guidance, 0 = off; left out: the bundle's."
    )
    seed: Annotated[int, Field(ge=0, le=MOST_SEED - MOST_PICTURES)] = Field(
        default=0, description="The seed of the first picture."
    )
    format: Format = Field(
        default="png", description="png: the picture, or a grid of several; zip: a PNG each; npz: arrays."
    )

    @model_validator(mode="after")
    def _one_way_to_say_labels(self) -> Self:
        if self.labels is not None and "label" in self.model_fields_set:
            raise ValueError("give `label` or `labels`, not both")
        if self.labels is not None and self.n is not None and self.n != len(self.labels):
            raise ValueError(f"n must be the number of `labels`, {len(self.labels)}, got {self.n}; leave n out")
        return self

    @property
    def count(self) -> int:
        if self.n is not None:
            return self.n
        return 1 if self.labels is None else len(self.labels)

    @property
    def seeds(self) -> list[int]:
        return [self.seed + i for i in range(self.count)]

    def labels_for(self, sampler: Sampler) -> list[int | None]:
        classes = sampler.bundle.spec.classes if sampler.bundle.conditional else ()
        asked: Asked | list[Asked] = self.label if self.labels is None else list(self.labels)
        return spread(asked, self.count, classes, "label" if self.labels is None else "labels")

    def recipe_for(self, sampler: Sampler) -> Recipe:
        return sampler.recipe(chosen(sampler, self.sampler, self.steps), None, self.guidance)


class NotAWish(ParamsError):
    """The body is no request for pictures; `faults` says it field by field."""

    def __init__(self, faults: list[dict[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault['field']}: {fault['message']}" for fault in faults))


def read_wish(body: bytes) -> Wish:
    """A wish from a JSON text. Its faults never repeat what came: it may be huge, or nothing that JSON can say."""
    try:
        return Wish.model_validate_json(body)
    except ValidationError as error:
        faults: dict[str, dict[str, str]] = {}
        for item in error.errors(include_url=False, include_input=False):
            fault = _fault(item)
            faults.setdefault(fault["field"], fault)
        raise NotAWish(list(faults.values())[:_TOLD]) from None


def chosen(sampler: Sampler, kind: str | None, steps: int | None) -> SamplerConfig | None:
    """The sampler that was named, with the bundle's steps where none were; None is the bundle's own."""
    if kind is None and steps is None:
        return None
    if kind is not None and kind not in sampler_kinds():
        near = get_close_matches(kind, sampler_kinds(), n=1)
        shown = repr(kind) if len(kind) <= _LONGEST else f"{kind[:_LONGEST]!r}..."
        raise ParamsError(
            f"sampler: must be one of {', '.join(sampler_kinds())}, got {shown}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    default = sampler.defaults.sampler
    return named(kind or default.kind, default.steps if steps is None else steps, default)


def _fault(item: Any) -> dict[str, str]:
    place = list(item["loc"])
    if place and place[0] in ("label", "labels") and str(place[-1]).startswith("constrained-"):
        # pydantic tells a label's two types apart, as two faults; a person sees one
        where = ".".join(str(part) for part in place[:-1])
        return {"field": where, "message": "Input should be a class by number or name, or null"}
    where = ".".join(str(part) for part in place)[:_LONGEST] or "body"
    return {"field": where, "message": str(item["msg"]).removeprefix("Value error, ")}
