"""What `POST /v1/images/interpolations` takes."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from ddpm_core.spec import DataSpec
from pipelines.serving.base.labels import conditions_asked
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import MOST_SEED, Label, Name, Request, RequestConditions


class InterpolationRequest(Request):
    """Pictures on the way from the one of `seed` to the one of `to_seed`, both of the same class.

    They are what `ddpm edit interpolate` makes.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={"examples": [{"seed": 3, "to_seed": 8, "label": 7, "n": 8}]}
    )

    n: Annotated[int, Field(ge=2, le=MOST_SAMPLES)] = Field(default=8, description="How many, with both ends.")
    to_seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = Field(description="The seed of the last picture.")
    label: Label = Field(default=None, description="The class by number or name; `none` or null: no label.")
    attributes: dict[Name, Label] | None = Field(default=None, description="What else they are told, by name.")
    format: Literal["png"] = "png"

    @property
    def seeds(self) -> list[int]:
        """What further noise is drawn by, the same on the whole way."""
        return [self.seed] * self.count

    @property
    def shares(self) -> list[float]:
        """How far each picture is on the way."""
        return [i / (self.count - 1) for i in range(self.count)]

    def asked_of(self, spec: DataSpec) -> RequestConditions:
        return RequestConditions(self.seeds, conditions_asked(self.label, self.count, spec, "label", self.attributes))
