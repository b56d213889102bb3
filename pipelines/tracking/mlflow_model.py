"""The model in MLflow's registry: rows of requests in, samples out; sampled with numpy and onnxruntime.

MLflow stores this file beside the bundle and runs it when the model is loaded. A row asks for `n` samples of a
`label` with the seeds `seed`, `seed + 1`, ..., and has what else its kind of data is told; the same row gives the same
bytes each time, alone or among others. A missing column, a label of -1 and steps of 0 mean the bundle's default; MLflow
allows no empty cell in a column of whole numbers.

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
from ddpm_core.spec import DataSpec
from pipelines.kinds import kind_of
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.base.labels import attribute_column
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import Request
from pipelines.serving.base.serving import Samples

# The columns of every kind's rows, and of its records.
_COLUMNS = {"n": "long", "label": "long", "seed": "long", "steps": "long", "guidance": "double", "sampler": "string"}
_RECORD = {"row": "long", "seed": "long", "label": "long"}
# The numbers that mean an empty cell of whole numbers.
_EMPTY = {"label": -1, "steps": 0}


def signature(spec: DataSpec) -> ModelSignature:
    """What the model of such data takes and gives."""
    told = [attribute_column(name) for name in spec.attributes]
    rows = {**_columns(request_type(spec)), **dict.fromkeys(told, "string")}
    own = {**kind_of(spec.kind).serving().columns, **dict.fromkeys(told, "long")}
    inputs: list[ColSpec | TensorSpec] = [ColSpec(type_, name, required=False) for name, type_ in rows.items()]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(type_, name) for name, type_ in {**_RECORD, **own}.items()]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def request_type(spec: DataSpec) -> type[Request]:
    """What a row becomes: a request of the bundle's first route."""
    return next(iter(kind_of(spec.kind).serving().routes(spec).values()))


def _columns(kind: type[Request]) -> dict[str, str]:
    return {**_COLUMNS, **kind.row_columns}


class SamplerModel(PythonModel):
    """The sampler as MLflow calls it. The signature is declared, so MLflow need not guess it from type hints."""

    _skip_type_hint_validation = True

    def load_context(self, context):  # type: ignore[no-untyped-def]  # MLflow asks for this very signature
        """Read and verify the bundle, and start its network."""
        self._sampler = Sampler.open(context.artifacts["bundle"])
        self._spec = self._sampler.bundle.spec
        self._serving, self._request = kind_of(self._spec.kind).serving(), request_type(self._spec)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Records: the number of the row, the sample's seed and label (-1: none), and its kind's columns."""
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        requests = [request_of(self._request, row, number, self._spec) for number, row in enumerate(rows)]
        if (n := sum(request.count for request in requests)) > MOST_SAMPLES:
            raise MlflowException.invalid_parameter_value(
                f"n: must be {MOST_SAMPLES} or less over all rows, got {n}; ask in several calls"
            )
        return [record for number, request in enumerate(requests) for record in self._records(request, number)]

    def _records(self, request: Request, number: int) -> list[dict[str, Any]]:
        with _told_of_row(number):
            recipe, asked = request.recipe_for(self._sampler), request.asked_of(self._spec)
            data = self._sampler.sample(recipe, asked.seeds, asked.cond)
        made = Samples(data, asked.cond, asked.seeds, self._sampler.made_by(recipe), asked.about)
        untold = {attribute_column(name): -1 for name in self._spec.attributes}
        return [{"row": number, **untold, **record} for record in self._serving.records(made)]


def request_of(kind: type[Request], row: Mapping[str, Any], number: int, spec: DataSpec | None = None) -> Request:
    """The request in a row: empty cells left out, whole numbers whole again where pandas made them floats.

    A model with attributes has a column for each.
    """
    with _told_of_row(number):
        named = {name: attribute_column(name) for name in (spec.attributes if spec else ())}
        told = {name: row[column] for name, column in named.items() if not _is_empty(row.get(column), None)}
        row = {name: value for name, value in row.items() if name not in named.values()}
        columns = _columns(kind)
        empty = {**{name: 0 for name, type_ in kind.row_columns.items() if type_ == "long"}, **_EMPTY}
        given = {name: value for name, value in row.items() if not _is_empty(value, empty.get(name))}
        if unknown := sorted(set(given) - set(columns)):
            raise ParamsError(f"columns must be among {', '.join(columns)}, got {', '.join(unknown)}")
        whole = {
            name: int(given[name]) for name, type_ in columns.items() if type_ == "long" and _is_whole(given.get(name))
        }
        return kind.from_fields({"label": None, **given, **whole, **({"attributes": told} if told else {})})


@contextmanager
def _told_of_row(number: int) -> Iterator[None]:
    try:
        yield
    except ParamsError as error:
        raise MlflowException.invalid_parameter_value(f"row {number}: {error}") from error


def _is_empty(value: Any, number: int | None) -> bool:
    """Whether a value is an empty cell: None, NaN (or pandas' NA), or the number that means one."""
    nan = isinstance(value, float) and math.isnan(value)
    return value is None or nan or str(value) == "<NA>" or (number is not None and value == number)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


set_model(SamplerModel())
