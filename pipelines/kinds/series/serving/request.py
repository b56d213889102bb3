"""What `POST /v1/forecasts` and `POST /v1/imputations` take, and a row of the registered model."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ddpm_core.spec import DataSpec
from pipelines.kinds.series.rows.fan import LEVELS
from pipelines.kinds.series.serving.outputs import AnswerRequest
from pipelines.kinds.series.serving.question import Question, Values, check_distance, static_of, to_forecast, to_impute
from pipelines.kinds.series.serving.table import TIME, Table, read_table
from pipelines.kinds.series.serving.times import MOST_STEPS, Grid, on_grid
from pipelines.serving.base.labels import label_of
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import InvalidRequest, Label, Name, Request, RequestConditions

_ROW = {
    "anyOf": [
        {"type": "number"},
        {"type": "null"},
        {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
        {"type": "object"},
    ]
}
_TABLE_SCHEMA = {
    "anyOf": [
        {"type": "string", "description": "CSV with a header."},
        {"type": "array", "items": _ROW, "description": "Rows: values in the model's order of columns, or by column."},
        {
            "type": "object",
            "additionalProperties": {"type": "array"},
            "description": "A list of values for each column; `time` may be one more.",
        },
    ]
}


def _a_table(value: Any) -> Any:
    if type(value) not in (str, list, dict):
        raise ValueError("must be rows, lists by column, or a text of CSV")
    return value


_Table = Annotated[Any, AfterValidator(_a_table), WithJsonSchema(_TABLE_SCHEMA)]


class SeriesRequest(Request):
    """Sample i has the seed `seed + i`, and is a function of it, the table, the times and the series alone.

    A value of null is missing. The rows follow each other by the model's frequency (`about` at /v1/model); a column
    `time`, `timestamps` or `start` says when. json holds the samples, the quantiles or both as lists of rows; csv and
    parquet a long table with a line for each of their values; npz arrays; png a picture of the quantiles.
    """

    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = Field(default=100, description="How many samples.")
    timestamps: Annotated[list[Name], Field(min_length=1, max_length=MOST_STEPS)] | None = Field(
        default=None, description="The time of each row, as ISO 8601, where the table has no column `time`."
    )
    start: Name | None = Field(default=None, description="The time of the first row, in place of `timestamps`.")
    label: Label = Field(
        default=None, description="The series by name or number, where the model knows several; `none`: another one."
    )
    static: Annotated[dict[Name, float], Field(max_length=MOST_SAMPLES)] | None = Field(
        default=None,
        description="Static features by name, where the model is told any; left out: those of the series `label`.",
    )
    output: Literal["samples", "quantiles", "both"] = Field(default="samples", description="What the answer holds.")
    quantiles: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1, max_length=99)] = Field(
        default=list(LEVELS), description="The levels of the quantiles."
    )
    format: Literal["json", "csv", "parquet", "npz", "png"] = "json"

    @model_validator(mode="after")
    def _times_once(self) -> Self:
        if self.timestamps is not None and self.start is not None:
            raise ValueError("give `timestamps` or `start`, not both")
        return self

    @abstractmethod
    def question(self, spec: DataSpec, values: Values) -> Question:
        """What is asked, given the values of the steps from the table's first to its last."""

    def _asked(self, spec: DataSpec, given: Any, field: str) -> RequestConditions:
        if self.format == "parquet" and find_spec("pyarrow") is None:
            raise InvalidRequest.of("format", "must not be parquet where pyarrow is not installed, as here")
        columns = [str(name) for name in spec.about["columns"]]
        table = read_table(given, columns, field)
        values, grid = self._placed(spec, table, field)
        label = self._label(spec)
        static = static_of(spec, label, self.static)
        check_distance(spec, values, label, columns, field)
        question = self.question(spec, values)
        first = question.start - question.before.shape[1]
        times: Sequence[Any] = list(range(first, question.stop)) if grid is None else grid.texts(first, question.stop)
        wanted = AnswerRequest(
            series="" if label is None else spec.classes[label],
            columns=columns,
            times=times[question.start - first :],
            drawn=(str(times[0]), str(times[-1])),
            question=question,
            seeds=self.seeds,
            label=label,
            output=self.output,
            levels=self.quantiles,
        )
        return RequestConditions(
            question.seeds(self.seed, self.n), question.cond(spec, grid, label, static, self.n), wanted
        )

    def _label(self, spec: DataSpec) -> int | None:
        if spec.classes and self.label is None:
            raise InvalidRequest.of(
                "label",
                f"must name the series, as {spec.classes[0]}, or be `none` for one that the model does not know",
            )
        return label_of(self.label, spec.classes, "label")

    def _placed(self, spec: DataSpec, table: Table, field: str) -> tuple[Values, Grid | None]:
        """The values by step, and when the steps are."""
        rows = table.values.shape[1]
        ways = {f"{field}.{TIME}": table.times, "timestamps": self.timestamps, "start": self.start}
        told = [name for name, way in ways.items() if way is not None]
        if len(told) > 1:
            raise InvalidRequest.of(told[1], f"must be left out, as {told[0]} is given")
        if rows > MOST_STEPS:
            raise InvalidRequest.of(field, f"must have at most {MOST_STEPS} rows, got {rows}")
        if not told:
            if "calendar" in spec.conditions:
                raise InvalidRequest.of(
                    "start", f"must be given, or a column `{TIME}` or `timestamps`: this model is told the calendar"
                )
            return table.values, None
        if self.start is not None:
            _, grid = on_grid([self.start], spec.about, lambda row: "start")
            return table.values, grid
        if self.timestamps is not None and len(self.timestamps) != rows:
            raise InvalidRequest.of("timestamps", f"must be as many as rows, {rows}, got {len(self.timestamps)}")
        if self.timestamps is not None:
            steps, grid = on_grid(self.timestamps, spec.about, lambda row: f"timestamps.{row}")
        else:
            steps, grid = on_grid(table.times or [], spec.about, lambda row: table.place(row, TIME))
        values = np.full((len(table.values), steps[-1] + 1), np.nan)
        values[:, steps] = table.values
        return values, grid


class ForecastRequest(SeriesRequest):
    """A history, and how many steps that follow it to sample.

    The model is told the last steps of the history, as many as it was trained with; of a shorter one the earliest
    steps count as missing.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": [[1.0], [2.0], [None], [4.0]], "start": "2026-01-01T00:00", "horizon": 1, "n": 20},
                {"history": "time,load\n2026-01-01T00:00,1.0\n2026-01-01T01:00,\n", "output": "quantiles"},
            ]
        }
    )
    row_columns: ClassVar[Mapping[str, str]] = {"history": "string", "start": "string", "horizon": "long"}

    history: _Table = Field(description="What came before, a row a step.")
    horizon: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="How many steps to sample; left out: as many as the model was trained for."
    )

    def question(self, spec: DataSpec, values: Values) -> Question:
        return to_forecast(spec, values, self.horizon)

    def asked_of(self, spec: DataSpec) -> RequestConditions:
        return self._asked(spec, self.history, "history")


class ImputationRequest(SeriesRequest):
    """A table with gaps, which the samples fill.

    A table that is longer than the model's window is filled window by window, each without looking at the samples of
    another; window w has the seeds from seed + 256 w on. Of a shorter one the steps behind its end count as missing.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "examples": [
                {"table": [[1.0], [None], [3.0], [4.0]], "start": "2026-01-01T00:00", "n": 20},
                {"table": {"load": [1.0, None, 3.0]}, "output": "quantiles", "quantiles": [0.1, 0.5, 0.9]},
            ]
        }
    )
    row_columns: ClassVar[Mapping[str, str]] = {"table": "string", "start": "string"}

    table: _Table = Field(description="A row a step; null where a value is to be sampled.")

    def question(self, spec: DataSpec, values: Values) -> Question:
        return to_impute(spec, values)

    def asked_of(self, spec: DataSpec) -> RequestConditions:
        return self._asked(spec, self.table, "table")
