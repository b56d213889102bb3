"""What `POST /v1/images` and a row of the registered model take."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from pipelines.serving.base.request import SampleRequest


class ImageRequest(SampleRequest):
    """What `POST /v1/images` and a row of the MLflow model take.

    Image i has the seed `seed + i`, and is a function of it, its label and its attributes alone.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "examples": [
                {"n": 1, "label": 7, "seed": 0},
                {"labels": [0, 1, 2, 3], "steps": 20, "sampler": "ddim", "guidance": 0.5, "seed": 100, "format": "zip"},
            ]
        },
    )

    format: Literal["png", "zip", "npz"] = Field(
        default="png", description="png: the picture, or a grid of several; zip: a PNG each; npz: arrays."
    )
