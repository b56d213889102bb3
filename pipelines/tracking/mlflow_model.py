"""The model in MLflow's registry: rows of requests in, images out; sampled with numpy and onnxruntime.

MLflow stores this file beside the bundle and runs it when the model is loaded. A row asks for `n` images of a
`label` with the seeds `seed`, `seed + 1`, ...; the same row gives the same bytes each time, alone or among others. A
column left out, a label of -1 and steps of 0 leave the choice to the bundle; MLflow allows no empty cell in a column
of whole numbers.

    curl -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations \
         -d '{"dataframe_records": [{"n": 2, "label": 7, "seed": 0}]}'
"""

import base64
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

from ddpm_core.errors import ParamsError
from pipelines.kinds.pictures.rows.decode import encode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.request import MOST_PICTURES, ImageRequest

_WHOLE = ("n", "label", "seed", "steps")
_COLUMNS = (*_WHOLE, "guidance", "sampler")
# What stands for an empty cell of whole numbers.
_EMPTY = {"label": -1, "steps": 0}

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            *(ColSpec("long", name, required=False) for name in _WHOLE),
            ColSpec("double", "guidance", required=False),
            ColSpec("string", "sampler", required=False),
        ]
    ),
    outputs=Schema(
        [ColSpec("long", "row"), ColSpec("long", "seed"), ColSpec("long", "label"), ColSpec("string", "png_base64")]
    ),
)


class SamplerModel(PythonModel):
    """The sampler as MLflow calls it. The signature is declared, so MLflow need not guess it from type hints."""

    _skip_type_hint_validation = True

    def load_context(self, context):  # type: ignore[no-untyped-def]  # MLflow asks for this very signature
        """Read and verify the bundle, and start its network."""
        self._sampler = Sampler.open(context.artifacts["bundle"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """One record an image: the number of its row, its seed and label (-1: none), and its PNG in base64."""
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        requests = [request_of(row, number) for number, row in enumerate(rows)]
        if (n := sum(request.count for request in requests)) > MOST_PICTURES:
            raise MlflowException.invalid_parameter_value(
                f"n: must be {MOST_PICTURES} or less over all rows, got {n}; ask in several calls"
            )
        return [record for number, request in enumerate(requests) for record in self._images(request, number)]

    def _images(self, request: ImageRequest, number: int) -> list[dict[str, Any]]:
        with _told_of_row(number):
            recipe, labels = request.recipe_for(self._sampler), request.labels_for(self._sampler)
            images = self._sampler.sample(recipe, labels, request.seeds)
        return [
            {
                "row": number,
                "seed": seed,
                "label": -1 if label is None else label,
                "png_base64": base64.b64encode(encode_png(image)).decode(),
            }
            for seed, label, image in zip(request.seeds, labels, images, strict=True)
        ]


def request_of(row: Mapping[str, Any], number: int) -> ImageRequest:
    """The request in a row: empty cells left out, whole numbers whole again where pandas made them floats."""
    with _told_of_row(number):
        given = {name: value for name, value in row.items() if not _is_empty(name, value)}
        if unknown := sorted(set(given) - set(_COLUMNS)):
            raise ParamsError(f"columns must be among {', '.join(_COLUMNS)}, got {', '.join(unknown)}")
        whole = {name: int(given[name]) for name in _WHOLE if _is_whole(given.get(name))}
        return ImageRequest.from_fields({"label": None, **given, **whole})


@contextmanager
def _told_of_row(number: int) -> Iterator[None]:
    try:
        yield
    except ParamsError as error:
        raise MlflowException.invalid_parameter_value(f"row {number}: {error}") from error


def _is_empty(name: str, value: Any) -> bool:
    """None, the NaN (or pandas' NA) of an empty cell, or the number that stands for one."""
    nan = isinstance(value, float) and math.isnan(value)
    return value is None or nan or str(value) == "<NA>" or (name in _EMPTY and value == _EMPTY[name])


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


set_model(SamplerModel())
