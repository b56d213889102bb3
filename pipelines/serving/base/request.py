"""A request for samples, over HTTP or in a row for the MLflow model: exact types, no unknown key, finite numbers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ddpm_core.errors import ParamsError
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.labels import LabelChoice, conditions_asked

MOST_SAMPLES = 256
MOST_STEPS = 10_000
# The largest whole number that every JSON reader keeps exact.
MOST_SEED = 2**53
_Name = Annotated[str, Field(max_length=200)]
_Label = Annotated[int, Field(ge=0, le=MOST_SEED)] | _Name | None
_FAULTS_SHOWN = 10
_LONGEST_FIELD = 80


class SampleRequest(BaseModel):
    """What every kind of data is asked by; a kind's own request adds its formats.

    Sample i has the seed `seed + i`, and is a function of it and its label alone.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | None = Field(
        default=None, description="How many samples; left out: as many as `labels` has, else 1."
    )
    label: _Label = Field(
        default="cycle", description="One class for all, by number or name; `none` or null: no label; `cycle`: in turn."
    )
    labels: Annotated[list[_Label], Field(min_length=1, max_length=MOST_SAMPLES)] | None = Field(
        default=None, description="A class for each sample, in place of `label`."
    )
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = Field(
        default=None, description="Steps of the sampler; left out: the bundle's."
    )
    sampler: _Name | None = Field(default=None, description="A sampler by its kind; left out: the bundle's.")
    guidance: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Weight of classifier-free guidance, 0 = off; left out: the bundle's."
    )
    seed: Annotated[int, Field(ge=0, le=MOST_SEED - MOST_SAMPLES)] = Field(
        default=0, description="The seed of the first sample."
    )
    format: str

    @model_validator(mode="after")
    def _label_or_labels(self) -> Self:
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

    def cond_for(self, sampler: Sampler) -> dict[str, Any]:
        """What the samples are told, as `Sampler.sample` takes it."""
        asked: LabelChoice | list[LabelChoice] = self.label if self.labels is None else list(self.labels)
        where = "label" if self.labels is None else "labels"
        return {**conditions_asked(asked, self.count, sampler.bundle.spec, where)}

    def recipe_for(self, sampler: Sampler) -> Recipe:
        return sampler.recipe(self.sampler, self.steps, self.guidance)

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read a JSON text; InvalidRequest where it is not a request."""
        with _faults_by_field():
            return cls.model_validate_json(body)

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Self:
        """Read values by field; InvalidRequest where they are not a request."""
        with _faults_by_field():
            return cls.model_validate(dict(values))


class InvalidRequest(ParamsError):
    """The request is not allowed; `faults` holds a message for each wrong field."""

    def __init__(self, faults: list[dict[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault['field']}: {fault['message']}" for fault in faults))


@contextmanager
def _faults_by_field() -> Iterator[None]:
    """Turn pydantic's error into ours. It never repeats the input, which may be huge or not even valid text."""
    try:
        yield
    except ValidationError as error:
        faults: dict[str, dict[str, str]] = {}
        for item in error.errors(include_url=False, include_input=False):
            fault = _fault(item)
            faults.setdefault(fault["field"], fault)
        raise InvalidRequest(list(faults.values())[:_FAULTS_SHOWN]) from None


def _fault(item: Any) -> dict[str, str]:
    place = list(item["loc"])
    if place and place[0] in ("label", "labels") and str(place[-1]).startswith("constrained-"):
        # pydantic reports one fault for each of a label's two types
        where = ".".join(str(part) for part in place[:-1])
        return {"field": where, "message": "Input should be a class by number or name, or null"}
    where = ".".join(str(part) for part in place)[:_LONGEST_FIELD] or "body"
    return {"field": where, "message": str(item["msg"]).removeprefix("Value error, ")}
