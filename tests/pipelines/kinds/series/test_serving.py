"""Series served: what a table becomes for the network, what is answered over HTTP, and what is refused."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ddpm_core.spec import LABEL, Condition, DataSpec
from pipelines.kinds.series.rows.calendar import features
from pipelines.kinds.series.serving import ServingSeries
from pipelines.kinds.series.serving.request import ForecastRequest, ImputationRequest
from pipelines.kinds.series.serving.times import on_grid
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.base.serving import Samples
from tests.support.series_bundle import COLUMNS, HISTORY, HORIZON, SCALING, WINDOW, open_, series_spec

START = "2026-01-01T00:00"
FORECAST, IMPUTE = series_spec("forecast"), series_spec("impute")
NAN = np.nan


def rows_of(count: int) -> list[list[float | None]]:
    """Values that tell their place."""
    return [[100.0 + row, 10.0 - row] for row in range(count)]


def asked(kind: Any, spec: DataSpec, **fields: Any) -> Any:
    return kind.from_fields({"start": START, **fields}).asked_of(spec)


# ---- what the network is told


def test_a_history_is_told_scaled_with_its_gaps_as_missing() -> None:
    table = rows_of(HISTORY)
    table[2][1] = None
    found = asked(ForecastRequest, FORECAST, history=table, n=3).cond
    values = np.array([[NAN if cell is None else cell for cell in row] for row in table]).T
    scaled = (values - np.array(SCALING.mean)[:, None]) / np.array(SCALING.std)[:, None]
    assert found["history"].shape == (3, 2, HISTORY)
    np.testing.assert_array_equal(found["history"][2], np.nan_to_num(scaled).astype(np.float32))
    np.testing.assert_array_equal(found["seen"][0], (~np.isnan(values)).astype(np.float32))


@pytest.mark.parametrize("count", [1, HISTORY - 1, HISTORY, HISTORY + 3])
def test_the_model_is_told_the_last_steps_and_a_short_history_is_missing_at_its_beginning(count: int) -> None:
    told = asked(ForecastRequest, FORECAST, history=rows_of(count), n=1)
    used = min(count, HISTORY)
    assert told.cond["seen"][0, 0].tolist() == [0.0] * (HISTORY - used) + [1.0] * used
    last = FORECAST.encode(np.array(rows_of(count), dtype=np.float64).T)[:, -used:]
    np.testing.assert_array_equal(told.cond["history"][0][:, HISTORY - used :], last)
    assert told.about.times[0] == str(np.datetime64(START) + 30 * count)


@pytest.mark.parametrize("count", [2, HISTORY, HISTORY + 5])
def test_the_calendar_is_that_of_the_steps_which_the_model_sees(count: int) -> None:
    told = asked(ForecastRequest, FORECAST, history=rows_of(count), n=2).cond["calendar"]
    first = np.datetime64(START, "s") + np.timedelta64(30 * (count - HISTORY), "m")
    times = first + np.arange(HISTORY + HORIZON) * np.timedelta64(30, "m")
    np.testing.assert_array_equal(told, np.stack([features(times, FORECAST.about["calendar"])] * 2))


def test_a_model_that_fills_gaps_forecasts_by_a_gap_at_the_end() -> None:
    table = rows_of(20)
    by_forecast = asked(ForecastRequest, IMPUTE, history=table, horizon=3, n=2)
    gap = [*table[-(WINDOW - 3) :], *[[None, None]] * 3]
    start = str(np.datetime64(START) + 30 * (20 - WINDOW + 3))
    by_gap = asked(ImputationRequest, IMPUTE, table=gap, start=start, n=2)
    for name in ("observed", "told", "calendar"):
        np.testing.assert_array_equal(by_forecast.cond[name], by_gap.cond[name])
    assert by_forecast.about.times == by_gap.about.times[-3:]


def test_a_long_table_is_filled_window_by_window_and_the_last_one_ends_with_it() -> None:
    table = rows_of(3 * WINDOW - 2)
    table[1][0] = table[-1][1] = None  # the second window has no gap
    found = asked(ImputationRequest, IMPUTE, table=table, seed=5, n=2)
    assert found.seeds == [5, 6, 5 + 2 * 256, 6 + 2 * 256]
    values = np.array([[NAN if cell is None else cell for cell in row] for row in table])
    for window, part in ((0, values[:WINDOW]), (2, values[-WINDOW:])):
        np.testing.assert_array_equal(found.cond["told"][window], (~np.isnan(part.T)).astype(np.float32))
    made = np.full((4, 2, WINDOW), 7.0, dtype=np.float32)
    answer = found.about.question.answer(made, 2)
    expected = np.where(np.isnan(values), 7.0, values).T.astype(np.float32)
    np.testing.assert_array_equal(answer, np.stack([expected, expected]))


def test_samples_of_a_window_s_own_part_alone_go_into_the_answer() -> None:
    table: list[list[float | None]] = [[None, 1.0] for _ in range(WINDOW + 3)]
    table[0][0] = 100.0
    found = asked(ImputationRequest, IMPUTE, table=table, n=1)
    made = np.arange(2 * 2 * WINDOW, dtype=np.float32).reshape(2, 2, WINDOW)
    answer = found.about.question.answer(made, 1)[0, 0]
    np.testing.assert_array_equal(answer[1:WINDOW], made[0, 0, 1:])
    np.testing.assert_array_equal(answer[WINDOW:], made[1, 0, -3:])


def test_what_is_missing_reaches_the_network_by_no_number() -> None:
    table = rows_of(WINDOW)
    table[3][0] = None
    told = asked(ImputationRequest, IMPUTE, table=table, n=1).cond
    assert told["observed"][0, 0, 3] == 0.0 == told["told"][0, 0, 3]


def test_a_series_is_named_and_scaled_as_its_own(bundles: Path) -> None:
    spec = open_(bundles, "several").bundle.spec
    by_name, by_number = (ForecastRequest(history=rows_of(3), n=2, label=each).asked_of(spec) for each in ("vic", 1))
    assert by_name.cond[LABEL] == by_number.cond[LABEL] == [1, 1]
    assert by_name.about.series == "vic"
    assert ForecastRequest(history=rows_of(3), label="none").asked_of(spec).about.series == ""


def with_static() -> DataSpec:
    """Two series with an area of 10 and 30."""
    static = {"columns": ["area"], "mean": [20.0], "std": [10.0], "values": [[10.0], [30.0]]}
    spec = series_spec("forecast", classes=("nsw", "vic"), static=static)
    return replace(spec, conditions={**spec.conditions, "static": Condition((1,), "float32", (), None)})


def test_static_features_are_those_of_the_series_or_the_ones_given() -> None:
    spec = with_static()
    for fields, told in (({"label": "vic"}, 1.0), ({"label": "vic", "static": {"area": 20}}, 0.0)):
        cond = asked(ForecastRequest, spec, history=rows_of(3), n=2, **fields).cond
        np.testing.assert_array_equal(cond["static"], [[told], [told]])
    other = asked(ForecastRequest, spec, history=rows_of(3), n=1, label="none", static={"area": 50.0}).cond
    np.testing.assert_array_equal(other["static"], [[3.0]])


@pytest.mark.parametrize("static", [None, {}, {"height": 1.0}, {"area": 1.0, "height": 1.0}, {"area": 1e30}])
def test_static_features_that_cannot_be_told_are_refused(static: dict[str, float] | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(ForecastRequest, with_static(), history=rows_of(3), label="none", static=static)
    assert [fault["field"] for fault in caught.value.faults] == ["static"]


def test_a_model_without_static_features_refuses_them() -> None:
    with pytest.raises(InvalidRequest, match="static"):
        asked(ForecastRequest, FORECAST, history=rows_of(3), static={"area": 1.0})


# ---- the table and its times


def test_rows_columns_and_csv_are_the_same_table(clients: dict[str, Any]) -> None:
    table = rows_of(7)
    table[2][0] = None
    times = [str(np.datetime64(START) + 30 * row) for row in range(7)]
    lines = [f"{time},{b},{'' if a is None else a}" for time, (a, b) in zip(times, table, strict=True)]
    text = "\n".join(["time,temperature,load", *lines])
    named = [{"time": time, "load": a, "temperature": b} for time, (a, b) in zip(times, table, strict=True)]
    columns = {"load": [row[0] for row in table], "temperature": [row[1] for row in table]}
    asked_for = {"n": 2, "seed": 3}
    answers = [
        clients["forecast"].post("/v1/forecasts", json={**asked_for, **body}).content
        for body in (
            {"history": table, "start": START},
            {"history": table, "timestamps": times},
            {"history": named},
            {"history": columns, "start": START},
            {"history": {**columns, "time": times}},
            {"history": text},
            {"history": json.dumps(named)},
        )
    ]
    assert json.loads(answers[0])["times"][0] == "2026-01-01T03:30"
    assert answers == [answers[0]] * len(answers)


def test_a_row_left_out_is_missing(clients: dict[str, Any]) -> None:
    table, times = rows_of(6), [str(np.datetime64(START) + 30 * row) for row in range(6)]
    gap = [*table[:2], [None, None], *table[3:]]
    whole, short = (
        clients["forecast"].post("/v1/forecasts", json={"n": 1, "history": rows, "timestamps": when}).json()
        for rows, when in ((gap, times), (table[:2] + table[3:], times[:2] + times[3:]))
    )
    assert whole == short


def test_without_a_calendar_the_times_may_be_left_out(clients: dict[str, Any]) -> None:
    answer = clients["several"].post("/v1/forecasts", json={"history": rows_of(3), "label": "vic", "n": 1}).json()
    assert (answer["times"], answer["series"]) == ([3, 4, 5, 6], "vic")


@pytest.mark.parametrize(
    ("zone", "given", "expected", "hours"),
    [
        (None, ["2026-03-29T00:30", "2026-03-29T01:00"], "2026-03-29T01:30", [0.5, 1.0, 1.5]),
        (None, ["2026-03-29T00:30Z", "2026-03-29T02:00+01:00"], "2026-03-29T01:30+00:00", [0.5, 1.0, 1.5]),
        ("Europe/Berlin", ["2026-03-29 01:00", "2026-03-29 01:30"], "2026-03-29T03:00:00+02:00", [1.0, 1.5, 3.0]),
    ],
)
def test_times_go_on_by_the_clock_of_the_model_s_zone(
    zone: str | None, given: list[str], expected: str, hours: list[float]
) -> None:
    steps, grid = on_grid(given, {"frequency": "30min", "time_zone": zone}, str)
    assert (steps, grid.texts(2, 3)) == ([0, 1], [expected])
    clock = grid.clock(0, 3)
    np.testing.assert_array_equal((clock - clock.astype("datetime64[D]")) / np.timedelta64(1, "h"), hours)


def test_months_go_on_by_the_calendar() -> None:
    steps, grid = on_grid(["2026-01-01", "2026-03-01"], {"frequency": "M"}, str)
    assert (steps, grid.texts(2, 4)) == ([0, 2], ["2026-03-01T00:00", "2026-04-01T00:00"])


# ---- what is answered


def answer_of(spec: DataSpec, kind: Any, **fields: Any) -> Samples:
    """Samples that tell their place, without a network."""
    found = asked(kind, spec, **fields)
    draw = np.random.default_rng(0)
    data = draw.normal(100.0, 30.0, (len(found.seeds), *spec.shape)).astype(np.float32)
    return Samples(data, found.cond, found.seeds, {"bundle": "abc"}, found.about)


def test_every_format_holds_the_very_float32() -> None:
    samples = answer_of(FORECAST, ForecastRequest, history=rows_of(6), n=5, seed=9, horizon=3, output="both")
    data = samples.data[:, :, :3].transpose(0, 2, 1)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    quantiles = np.quantile(data, levels, axis=0).astype(np.float32)
    serving = ServingSeries()
    content = json.loads(serving.encode(samples, "json"))
    np.testing.assert_array_equal(np.array(content["samples"], dtype=np.float32), data)
    assert list(content["quantiles"]) == [str(level) for level in levels]
    np.testing.assert_array_equal(np.array(list(content["quantiles"].values()), dtype=np.float32), quantiles)
    assert (content["seeds"], content["columns"], len(content["times"])) == ([9, 10, 11, 12, 13], list(COLUMNS), 3)
    with np.load(io.BytesIO(serving.encode(samples, "npz"))) as arrays:
        np.testing.assert_array_equal(arrays["samples"], data)
        np.testing.assert_array_equal(arrays["quantiles"], quantiles)
        assert arrays["seeds"].tolist() == content["seeds"]
        assert not arrays["told"].any()
    rows = list(csv.DictReader(io.StringIO(serving.encode(samples, "csv").decode())))
    table = pq.read_table(io.BytesIO(serving.encode(samples, "parquet"))).to_pylist()
    assert [list(row) for row in (rows[0], table[0])] == [
        ["series", "time", "column", "sample", "quantile", "value"]
    ] * 2
    assert len(rows) == len(table) == 3 * 2 * (5 + 5)
    for text, cell in zip(rows, table, strict=True):
        place = content["times"].index(text["time"]), COLUMNS.index(text["column"])
        of = data[int(text["sample"])] if text["sample"] else quantiles[levels.index(float(text["quantile"]))]
        assert np.float32(text["value"]) == of[place] == np.float32(cell["value"])
        assert text["quantile"] == ("" if cell["quantile"] is None else str(cell["quantile"]))


@pytest.mark.parametrize("output", ["samples", "quantiles"])
def test_a_table_has_the_column_of_what_was_asked_alone(output: str) -> None:
    samples = answer_of(FORECAST, ForecastRequest, history=rows_of(6), n=2, output=output, quantiles=[0.1, 0.5])
    head = ServingSeries().encode(samples, "csv").splitlines()[0].decode()
    assert head == f"series,time,column,{output[:-1]},value"
    assert (output in json.loads(ServingSeries().encode(samples, "json"))) is True


@pytest.mark.parametrize("format", ServingSeries.media)
def test_the_same_samples_give_the_same_bytes(format: str) -> None:
    table = rows_of(6)
    table[4][0] = None
    samples = answer_of(IMPUTE, ImputationRequest, table=table, n=3)
    assert ServingSeries().encode(samples, format) == ServingSeries().encode(samples, format)


def test_a_png_says_how_its_samples_were_made() -> None:
    png = ServingSeries().encode(answer_of(FORECAST, ForecastRequest, history=rows_of(6), n=3, seed=7), "png")
    assert png.startswith(b"\x89PNG")
    assert b"ddpm bundle" in png
    assert b"7 to 9" in png
