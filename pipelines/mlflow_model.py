"""The model in MLflow's registry: rows of wishes in, pictures out; onnxruntime inside, by way of the serving room.

MLflow stores this file beside the bundle and runs it when the model is loaded. A row asks for `n` pictures of a
`label` with the seeds `seed`, `seed + 1`, ...; the same row gives the same bytes each time, alone or among others. A
column left out, a label of -1 and steps of 0 leave the choice to the bundle; MLflow allows no empty cell in a column
of whole numbers.

    curl -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations \
         -d '{"dataframe_records": [{"n": 2, "label": 7, "seed": 0}]}'
"""

import base64
import math
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

from ddpm_core.errors import ParamsError
from ddpm_core.samplers.config import named
from pipelines.serving.sampler import Sampler
from pipelines.tools.decode import encode_png

MOST_PICTURES = 256
_MOST_STEPS = 1000
_COLUMNS = ("n", "label", "seed", "steps", "guidance", "sampler")

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            *(ColSpec("long", name, required=False) for name in ("n", "label", "seed", "steps")),
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
        """A record a picture: which row asked for it, its seed and label (-1: none), and its PNG in base64."""
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        try:
            wishes = [_Wish(row, number) for number, row in enumerate(rows)]
            if sum(wish.n for wish in wishes) > MOST_PICTURES:
                raise ParamsError(f"n: must be {MOST_PICTURES} or less over all rows, got {sum(w.n for w in wishes)}")
            return [record for wish in wishes for record in wish.pictures(self._sampler)]
        except ParamsError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


class _Wish:
    """One row, judged."""

    def __init__(self, row: dict[str, Any], number: int) -> None:
        given = {key: value for key, value in row.items() if not _is_missing(value)}
        if unknown := sorted(set(given) - set(_COLUMNS)):
            raise ParamsError(f"row {number}: columns must be among {', '.join(_COLUMNS)}, got {', '.join(unknown)}")
        self._number = number
        self.n = _whole(given.get("n", 1), f"row {number}: n", 1, MOST_PICTURES)
        self._label = None if given.get("label", -1) == -1 else _whole(given["label"], f"row {number}: label", 0, None)
        self._seed = _whole(given.get("seed", 0), f"row {number}: seed", 0, None)
        self._steps = _whole(given["steps"], f"row {number}: steps", 1, _MOST_STEPS) if given.get("steps") else None
        self._guidance = float(given["guidance"]) if "guidance" in given else None
        self._kind = str(given["sampler"]) if "sampler" in given else None

    def pictures(self, sampler: Sampler) -> list[dict[str, Any]]:
        default = sampler.defaults.sampler
        chosen = None if self._kind is None else named(self._kind, self._steps or default.steps, default)
        seeds = range(self._seed, self._seed + self.n)
        recipe = sampler.recipe(chosen, self._steps, self._guidance)
        images = sampler.sample(recipe, [self._label] * self.n, seeds)
        label = -1 if self._label is None else self._label
        return [
            {
                "row": self._number,
                "seed": seed,
                "label": label,
                "png_base64": base64.b64encode(encode_png(image)).decode(),
            }
            for seed, image in zip(seeds, images, strict=True)
        ]


def _whole(value: Any, what: str, least: int, most: int | None) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ParamsError(f"{what}: must be a whole number {bounds}, got {value!r}")
    return int(value)


def _is_missing(value: Any) -> bool:
    """None, or the NaN (or pandas' NA) that stands for an empty cell of a table."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value) == "<NA>"


set_model(SamplerModel())
