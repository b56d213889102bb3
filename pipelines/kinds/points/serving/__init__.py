"""Points served: `/v1/points`, `ddpm sample` and the registered model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.points.serving import outputs
from pipelines.serving.base.request import Request, SampleRequest
from pipelines.serving.base.serving import Samples, Serving


class PointsRequest(SampleRequest):
    """What `POST /v1/points` and a row of the registered model take. Point i has the seed `seed + i`.

    json and csv hold x, y, label and seed of each point, npz arrays of them; png draws the points.
    """

    format: Literal["json", "csv", "npz", "png"] = "json"


class ServingPoints(Serving):
    """Points as text, as arrays, or drawn."""

    media: ClassVar = {
        "json": "application/json",
        "csv": "text/csv; charset=utf-8",
        "npz": "application/octet-stream",
        "png": "image/png",
    }
    default_out = "points.csv"
    columns: ClassVar = {"x": "double", "y": "double"}

    def routes(self, spec: DataSpec) -> Mapping[str, type[Request]]:
        return {"/v1/points": PointsRequest}

    def encode(self, samples: Samples, format: str) -> bytes:
        write = {"json": outputs.json, "csv": outputs.csv, "npz": outputs.npz, "png": outputs.png}[format]
        return write(samples.data, samples.labels, samples.seeds, samples.made_by)

    def record(self, datum: NDArray[Any]) -> dict[str, Any]:
        return dict(zip("xy", (outputs.shortest(value) for value in datum), strict=True))
