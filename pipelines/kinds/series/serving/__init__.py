"""Series served: `/v1/forecasts` or `/v1/imputations`, `ddpm forecast`, `ddpm impute` and the registered model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ddpm_core.spec import DataSpec
from pipelines.kinds.series.serving.outputs import Answer
from pipelines.kinds.series.serving.request import ForecastRequest, ImputationRequest
from pipelines.serving.base.request import Request
from pipelines.serving.base.serving import Samples, Serving


class ServingSeries(Serving):
    """Forecasts of a history, and fillings of a table with gaps; a model that fills can forecast too."""

    body_bytes: ClassVar[int] = 1 << 20
    most_cost: ClassVar[int] = 1_000_000  # small networks, a hundred samples, and of some a loop for every step
    trial: ClassVar[str] = "forecast --history FILE (or impute FILE)"
    media: ClassVar = {
        "json": "application/json",
        "csv": "text/csv; charset=utf-8",
        "parquet": "application/vnd.apache.parquet",
        "npz": "application/octet-stream",
        "png": "image/png",
    }
    default_out = "forecast.csv"
    columns: ClassVar = {"time": "string", "column": "string", "value": "double"}

    def routes(self, spec: DataSpec) -> Mapping[str, type[Request]]:
        forecasts: dict[str, type[Request]] = {"/v1/forecasts": ForecastRequest}
        return forecasts if "history" in spec.about else {"/v1/imputations": ImputationRequest, **forecasts}

    def commands(self, spec: DataSpec) -> Sequence[str]:
        return ("forecast",) if "history" in spec.about else ("impute", "forecast")

    def encode(self, samples: Samples, format: str) -> bytes:
        return Answer(samples).encode(format)

    def records(self, samples: Samples) -> list[dict[str, Any]]:
        return Answer(samples).records()
