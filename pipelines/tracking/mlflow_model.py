"""The model in MLflow's registry: rows of requests in, samples out; sampled with numpy and onnxruntime.

MLflow stores this file beside the bundle and runs it when the model is loaded. A row asks for `n` samples of a
`label` with the seeds `seed`, `seed + 1`, ...; the same row gives the same bytes each time, alone or among others. A
missing column, a label of -1 and steps of 0 mean the bundle's default; MLflow allows no empty cell in a column of whole
numbers.

    curl -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations \
         -d '{"dataframe_records": [{"n": 2, "label": 7, "seed": 0}]}'
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema, TensorSpec

from ddpm_core.errors import ParamsError
from ddpm_core.spec import LABEL, DataSpec
from pipelines.kinds import kind_of
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.base.request import MOST_SAMPLES, SampleRequest

_WHOLE = ("n", "label", "seed", "steps")
_COLUMNS = (*_WHOLE, "guidance", "sampler")
# The numbers that mean an empty cell of whole numbers.
_EMPTY = {"label": -1, "steps": 0}

_ROW = ("row", "seed", "label")  # the columns of every kind's records


def signature(spec: DataSpec) -> ModelSignature:
    """What the model of such data takes and gives."""
    inputs: list[ColSpec | TensorSpec] = [
        *(ColSpec("long", name, required=False) for name in _WHOLE),
        ColSpec("double", "guidance", required=False),
        ColSpec("string", "sampler", required=False),
    ]
    own = kind_of(spec.kind).serving().columns
    outputs: list[ColSpec | TensorSpec] = [ColSpec("long", name) for name in _ROW]
    outputs += [ColSpec(type_, name) for name, type_ in own.items()]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


class SamplerModel(PythonModel):
    """The sampler as MLflow calls it. The signature is declared, so MLflow need not guess it from type hints."""

    _skip_type_hint_validation = True

    def load_context(self, context):  # type: ignore[no-untyped-def]  # MLflow asks for this very signature
        """Read and verify the bundle, and start its network."""
        self._sampler = Sampler.open(context.artifacts["bundle"])
        self._serving = kind_of(self._sampler.bundle.spec.kind).serving()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """One record a sample: the number of its row, its seed and label (-1: none), and its kind's columns."""
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        requests = [request_of(self._serving.request, row, number) for number, row in enumerate(rows)]
        if (n := sum(request.count for request in requests)) > MOST_SAMPLES:
            raise MlflowException.invalid_parameter_value(
                f"n: must be {MOST_SAMPLES} or less over all rows, got {n}; ask in several calls"
            )
        return [record for number, request in enumerate(requests) for record in self._records(request, number)]

    def _records(self, request: SampleRequest, number: int) -> list[dict[str, Any]]:
        with _told_of_row(number):
            recipe, cond = request.recipe_for(self._sampler), request.cond_for(self._sampler)
            data = self._sampler.sample(recipe, request.seeds, cond)
        labels = cond.get(LABEL, [None] * request.count)
        return [
            {"row": number, "seed": seed, "label": -1 if label is None else label, **self._serving.record(datum)}
            for seed, label, datum in zip(request.seeds, labels, data, strict=True)
        ]


def request_of(kind: type[SampleRequest], row: Mapping[str, Any], number: int) -> SampleRequest:
    """The request in a row: empty cells left out, whole numbers whole again where pandas made them floats."""
    with _told_of_row(number):
        given = {name: value for name, value in row.items() if not _is_empty(name, value)}
        if unknown := sorted(set(given) - set(_COLUMNS)):
            raise ParamsError(f"columns must be among {', '.join(_COLUMNS)}, got {', '.join(unknown)}")
        whole = {name: int(given[name]) for name in _WHOLE if _is_whole(given.get(name))}
        return kind.from_fields({"label": None, **given, **whole})


@contextmanager
def _told_of_row(number: int) -> Iterator[None]:
    try:
        yield
    except ParamsError as error:
        raise MlflowException.invalid_parameter_value(f"row {number}: {error}") from error


def _is_empty(name: str, value: Any) -> bool:
    """Whether a value is an empty cell: None, NaN (or pandas' NA), or the number that means one."""
    nan = isinstance(value, float) and math.isnan(value)
    return value is None or nan or str(value) == "<NA>" or (name in _EMPTY and value == _EMPTY[name])


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


set_model(SamplerModel())
