"""A request for samples, over HTTP or in a row for the MLflow model: exact types, no unknown key, finite numbers."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ddpm_core.errors import ParamsError
from ddpm_core.spec import DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.labels import LabelChoice, conditions_asked
from pipelines.serving.base.limits import MOST_SAMPLES

MOST_STEPS = 10_000
# The largest whole number that every JSON reader keeps exact.
MOST_SEED = 2**53
Name = Annotated[str, Field(max_length=200)]
Label = Annotated[int, Field(ge=0, le=MOST_SEED)] | Name | None
Labels = Annotated[list[Label], Field(min_length=1, max_length=MOST_SAMPLES)]
_MOST_ATTRIBUTES = 64
_FAULTS_SHOWN = 10
_LONGEST_FIELD = 80
_FIELDS = re.compile(r"attributes\..+|[A-Za-z_][\w.-]*(, [A-Za-z_][\w.-]*)*")
Result = TypeVar("Result")
Fault = dict[str, str]
"""`field` and `message`."""


def _refuse(value: Any) -> None:
    if value is not None:
        raise ValueError("is not supported by this service; leave it out")


Unsupported = Annotated[None, BeforeValidator(_refuse), Field(description="Not supported.")]
"""A key of someone else's interface that is refused by its name."""


@dataclass(frozen=True, eq=False)
class RequestConditions:
    """What a request comes to for one bundle: the seed and the conditions of each datum that the network makes.

    `about` is what else the kind wants to know when it writes the answer.
    """

    seeds: Sequence[int]
    cond: Mapping[str, Any]
    about: Any = None


class Body(BaseModel):
    """What a client sends, read strictly."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

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


class Request(Body):
    """What every kind of data is asked by; a kind's own request adds what its data are told, and its formats."""

    row_columns: ClassVar[Mapping[str, str]] = {}
    """What a row for the registered model may hold in addition to these: MLflow's type by the column's name."""

    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | None = Field(default=None, description="How many samples.")
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = Field(
        default=None, description="Steps of the sampler; left out: the bundle's."
    )
    sampler: Name | None = Field(default=None, description="A sampler by its kind; left out: the bundle's.")
    guidance: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Weight of classifier-free guidance, 0 = off; left out: the bundle's."
    )
    seed: Annotated[int, Field(ge=0, le=MOST_SEED - MOST_SAMPLES)] = Field(
        default=0, description="The seed of the first sample."
    )
    model: Name | None = Field(
        default=None, description="A model by its name in /v1/models; left out: the first that answers here."
    )
    format: str

    @property
    def count(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def seeds(self) -> list[int]:
        """The seed of each sample."""
        return [self.seed + i for i in range(self.count)]

    @abstractmethod
    def asked_of(self, spec: DataSpec) -> RequestConditions:
        """What the network is to make for this request; ParamsError where it cannot be asked of such a bundle."""

    def recipe_for(self, sampler: Sampler) -> Recipe:
        """How to sample; InvalidRequest, with all faults, where it cannot be done with this bundle."""
        choices: dict[str, Any] = {"sampler": self.sampler, "steps": self.steps, "guidance": self.guidance}
        try:
            return sampler.recipe(**choices)
        except ParamsError as error:
            faults = _faults_of_choices(sampler, choices, error)
            if not faults:
                raise
            raise InvalidRequest(faults) from error


def _faults_of_choices(sampler: Sampler, choices: Mapping[str, Any], error: ParamsError) -> list[Fault]:
    """A fault for each choice that is refused: what is, is left out, so that what else is wrong is found too."""
    given = {name: choice for name, choice in choices.items() if choice is not None}
    named = [name for name in _names_in(error) if name in given]
    if not named:
        return []
    fault = {**_faults_in(error)[0], "field": named[0]}
    left = {name: choice for name, choice in given.items() if name not in named}
    try:
        sampler.recipe(**left)
    except ParamsError as another:
        return [fault, *_faults_of_choices(sampler, left, another)]
    return [fault]


class SampleRequest(Request):
    """What data are asked by that are told classes or nothing.

    Sample i has the seed `seed + i`, and is a function of it, its label and its attributes alone.
    """

    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | None = Field(
        default=None, description="How many samples; left out: as many as `labels` or a list has, else 1."
    )
    label: Label = Field(
        default="cycle", description="One class for all, by number or name; `none` or null: no label; `cycle`: in turn."
    )
    labels: Labels | None = Field(default=None, description="A class for each sample, in place of `label`.")
    attributes: Annotated[dict[Name, Label | Labels], Field(max_length=_MOST_ATTRIBUTES)] | None = Field(
        default=None,
        description="What else the samples are told, by the attribute's name in /v1/model: a class for all, by number "
        "or name, `none`, `cycle`, or a list with one for each sample. What is left out is not told.",
    )

    @model_validator(mode="after")
    def _label_or_labels(self) -> Self:
        if self.labels is not None and "label" in self.model_fields_set:
            raise ValueError("give `label` or `labels`, not both")
        if self.labels is not None and self.n is not None and self.n != len(self.labels):
            raise ValueError(f"n must be the number of `labels`, {len(self.labels)}, got {self.n}; leave n out")
        for name, of in (self.attributes or {}).items():
            if isinstance(of, list) and len(of) != self.count:
                raise InvalidRequest.of(
                    f"attributes.{name}", f"must have one class for each of {self.count} samples, got {len(of)}"
                )
        return self

    @property
    def count(self) -> int:
        if self.n is not None:
            return self.n
        lists = [self.labels, *(self.attributes or {}).values()]
        return next((len(each) for each in lists if isinstance(each, list)), 1)

    def asked_of(self, spec: DataSpec) -> RequestConditions:
        asked: LabelChoice | list[LabelChoice] = self.label if self.labels is None else list(self.labels)
        where = "label" if self.labels is None else "labels"
        attributes = self.attributes or {}
        cond = faults_together(
            lambda: conditions_asked(asked, self.count, spec, where, attributes),
            lambda: conditions_asked(asked, self.count, spec, where),
            *(
                partial(conditions_asked, None, self.count, spec, where, {name: choice})
                for name, choice in attributes.items()
            ),
        )
        return RequestConditions(self.seeds, cond)


class InvalidRequest(ParamsError):
    """The request is not allowed; `faults` holds a message for each wrong field."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = [{**fault, "field": fault["field"][:_LONGEST_FIELD]} for fault in faults][:_FAULTS_SHOWN]
        super().__init__("; ".join(f"{fault['field']}: {fault['message']}" for fault in self.faults))

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        return cls([{"field": field, "message": message}])


def faults_together(whole: Callable[[], Result], *parts: Callable[[], object]) -> Result:
    """What `whole` gives; where it is not allowed, InvalidRequest with the faults of all its parts, else its own."""
    try:
        return whole()
    except ParamsError as error:
        faults = [fault for part in parts for fault in _faults_of(part)] or _faults_in(error)
        if not faults:
            raise
        raise InvalidRequest(faults) from error


def _faults_of(part: Callable[[], object]) -> list[Fault]:
    try:
        part()
    except ParamsError as error:
        return _faults_in(error)
    return []


def _faults_in(error: ParamsError) -> list[Fault]:
    """The fields that an error names: `steps: must be ...`."""
    if isinstance(error, InvalidRequest):
        return error.faults
    message = str(error).partition(": ")[2]
    return [{"field": name, "message": message} for name in _names_in(error)[:1]]


def _names_in(error: ParamsError) -> list[str]:
    """Of a message `sampler, steps: must be ...` the names."""
    before, colon, _ = str(error).partition(": ")
    if not colon or not _FIELDS.fullmatch(before):
        return []
    return [before] if before.startswith("attributes.") else before.split(", ")


@contextmanager
def _faults_by_field() -> Iterator[None]:
    """Turn pydantic's error into ours. It never repeats the input, which may be huge or not even valid text."""
    try:
        yield
    except ValidationError as error:
        faults: dict[str, Fault] = {}
        for item in error.errors(include_url=False, include_input=False):
            fault = _fault(item)
            faults.setdefault(fault["field"], fault)
        raise InvalidRequest(faults.values()) from None


def _fault(item: Any) -> Fault:
    place = list(item["loc"])
    if place and place[0] in ("label", "labels", "attributes") and str(place[-1]).startswith(("constrained-", "list[")):
        # pydantic reports one fault for each of the types that a label may have
        where = ".".join(str(part) for part in place[:-1] if not str(part).startswith("list["))
        return {"field": where, "message": "Input should be a class by number or name, or null"}
    where = ".".join(str(part) for part in place) or "body"
    return {"field": where, "message": str(item["msg"]).removeprefix("Value error, ")}
