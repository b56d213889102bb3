"""Series over HTTP: a forecast is the sampler's own, and what cannot be read is refused by its place."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from pipelines.kinds.series.serving import ServingSeries
from pipelines.kinds.series.serving.request import ForecastRequest
from pipelines.serving.app import create_app
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.base.serving import Serving
from pipelines.serving.service import Limits
from tests.pipelines.kinds.series.test_serving import FORECAST, IMPUTE, START, asked, rows_of
from tests.support.series_bundle import HORIZON, WINDOW, open_


def test_a_forecast_is_the_sampler_s_own(clients: dict[str, Any], bundles: Path) -> None:
    body = {"history": rows_of(9), "start": START, "n": 3, "seed": 4, "horizon": 2}
    answer = clients["forecast"].post("/v1/forecasts", json=body)
    assert (answer.status_code, answer.headers["x-seeds"]) == (200, "4,5,6")
    sampler = open_(bundles, "forecast")
    own = sampler.sample(sampler.recipe(), [4, 5, 6], asked(ForecastRequest, FORECAST, history=rows_of(9), n=3).cond)
    found = np.array(answer.json()["samples"], dtype=np.float32)
    np.testing.assert_array_equal(found, own[:, :, :2].transpose(0, 2, 1))


def test_a_sample_does_not_depend_on_its_neighbours(clients: dict[str, Any]) -> None:
    body = {"history": rows_of(6), "start": START}
    many = clients["forecast"].post("/v1/forecasts", json={**body, "n": 5, "seed": 3}).json()
    alone = clients["forecast"].post("/v1/forecasts", json={**body, "n": 1, "seed": 6}).json()
    assert many["samples"][3] == alone["samples"][0]


def test_a_filled_table_has_the_values_that_were_given(clients: dict[str, Any]) -> None:
    table = rows_of(2 * WINDOW + 1)
    for row in (0, 5, 12, 16):
        table[row][row % 2] = None
    answer = clients["impute"].post("/v1/imputations", json={"table": table, "start": START, "n": 2}).json()
    for sample in answer["samples"]:
        for told, found in zip(table, sample, strict=True):
            assert all(a is None or a == b for a, b in zip(told, found, strict=True))
    assert answer["samples"][0] != answer["samples"][1]


def test_a_bundle_serves_its_own_task(clients: dict[str, Any]) -> None:
    routes = {
        task: [path for path in client.get("/openapi.json").json()["paths"] if "casts" in path or "imput" in path]
        for task, client in clients.items()
    }
    assert routes["forecast"] == routes["several"] == ["/v1/forecasts"]
    assert sorted(routes["impute"]) == ["/v1/forecasts", "/v1/imputations"]
    assert clients["forecast"].post("/v1/imputations", json={}).status_code == 404
    about = clients["impute"].get("/v1/model").json()
    assert (about["routes"], about["about"]["window"]) == (["/v1/imputations", "/v1/forecasts"], WINDOW)
    assert about["limits"]["body_bytes"] == 1 << 20


def test_a_kind_of_data_has_limits_of_its_own_where_the_server_has_none(bundles: Path) -> None:
    limits = Limits(cost=None, waiting=2, at_once=1, seconds=30.0, body_bytes=None)
    told = create_app(open_(bundles, "forecast"), limits).state.models.info()["limits"]
    assert (told["cost"], told["body_bytes"]) == (ServingSeries.most_cost, ServingSeries.body_bytes)
    assert ServingSeries.most_cost > Serving.most_cost


@pytest.mark.parametrize(("task", "path"), [("forecast", "/v1/forecasts"), ("impute", "/v1/imputations")])
def test_openapi_names_the_fields_of_each_route(task: str, path: str, clients: dict[str, Any]) -> None:
    operation = clients[task].get("/openapi.json").json()["paths"][path]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    own = {"/v1/forecasts": {"history", "horizon"}, "/v1/imputations": {"table"}}[path]
    assert own <= set(content["schema"]["properties"])
    assert content["schema"]["additionalProperties"] is False
    assert set(content["schema"]["required"]) <= own
    kind = ServingSeries().routes(IMPUTE)[path]
    for example in content["examples"].values():
        kind.from_json(json.dumps(example["value"]).encode())


def test_each_window_is_paid_for(clients: dict[str, Any]) -> None:
    table: list[list[float | None]] = [[None, 1.0] for _ in range(3 * WINDOW)]
    table[0][0] = 100.0
    answer = clients["impute"].post("/v1/imputations", json={"table": table, "start": START, "n": 256, "steps": 4})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["cost"]) == (422, "too_costly", 3 * 256 * 4)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("forecast", {}, "history"),
    ("forecast", {"history": 5}, "history"),
    ("forecast", {"history": []}, "history"),
    ("forecast", {"history": {}}, "history.load"),
    ("forecast", {"history": ""}, "history"),
    ("forecast", {"history": "[1, 2"}, "history"),
    ("forecast", {"history": "[" * 100_000}, "history"),
    ("forecast", {"history": "load,temperature\n1,2,3\n"}, "history"),
    ("forecast", {"history": 'load,temperature\n"1,2\n'}, "history"),
    ("forecast", {"history": "load,load,temperature\n1,2,3\n"}, "history"),
    ("forecast", {"history": "load,temperature\n1,2\n3,x\n"}, "history.line 3.temperature"),
    ("forecast", {"history": "load,temperature\n1,inf\n"}, "history.line 2.temperature"),
    ("forecast", {"history": "load,temperature\n1_0,2\n"}, "history.line 2.load"),
    ("forecast", {"history": "load\n1\n"}, "history.temperature"),
    ("forecast", {"history": [[1.0, 2.0], [1.0]]}, "history.1"),
    ("forecast", {"history": [[1.0, 2.0, 3.0]]}, "history.0"),
    ("forecast", {"history": [[1.0, 2.0], 3.0]}, "history.1"),
    ("forecast", {"history": [[1.0, 2.0], [1.0, "2"]]}, "history.1.1"),
    ("forecast", {"history": [[True, 2.0]]}, "history.0.0"),
    ("forecast", {"history": [[1e39, 2.0]]}, "history.0.0"),
    ("forecast", {"history": [[10**400, 2.0]]}, "history.0.0"),
    ("forecast", {"history": [{"load": 1.0, "temperature": 1.0}, {"load": 1.0}]}, "history.1"),
    ("forecast", {"history": [{"load": 1.0, "temperature": "x"}]}, "history.0.temperature"),
    ("forecast", {"history": [{"load": 1.0, "temperature": 1.0, "wind": 2.0}]}, "history.wind"),
    ("forecast", {"history": {"load": [1.0, 2.0], "temperature": [1.0]}}, "history.temperature"),
    ("forecast", {"history": {"load": [1.0, [2.0]], "temperature": [1.0, 1.0]}}, "history.load.1"),
    ("forecast", {"history": [[None, None]] * 3}, "history"),
    ("forecast", {"history": [[1e30, 2.0]]}, "history"),
    ("forecast", {"history": rows_of(2), "start": None}, "start"),
    ("forecast", {"history": rows_of(2), "start": "yesterday"}, "start"),
    ("forecast", {"history": rows_of(2), "start": "0001-01-01T00:00+14:00"}, "start"),
    ("forecast", {"history": rows_of(2), "start": START, "timestamps": [START, START]}, "body"),
    ("forecast", {"history": rows_of(2), "start": None, "timestamps": [START]}, "timestamps"),
    ("forecast", {"history": rows_of(2), "start": None, "timestamps": ["2026-01-01T01:00", START]}, "timestamps.1"),
    ("forecast", {"history": rows_of(2), "start": None, "timestamps": [START, START]}, "timestamps.1"),
    ("forecast", {"history": rows_of(2), "start": None, "timestamps": [START, "2199-01-01T00:00"]}, "timestamps.1"),
    ("forecast", {"history": rows_of(2), "start": None, "timestamps": [START, "2026-01-01T00:30Z"]}, "timestamps.1"),
    (
        "forecast",
        {"history": rows_of(3), "start": None, "timestamps": [START, "2026-01-01T00:45", "2026-01-01T01:00"]},
        "timestamps.1",
    ),
    ("forecast", {"history": f"time,load,temperature\n{START},1,2\nx,1,2\n", "start": None}, "history.line 3.time"),
    ("forecast", {"history": f"time,load,temperature\n{START},1,2\n"}, "start"),
    ("forecast", {"history": {"time": [7], "load": [1.0], "temperature": [1.0]}, "start": None}, "history.time.0"),
    ("forecast", {"history": rows_of(2), "horizon": HORIZON + 1}, "horizon"),
    ("forecast", {"history": rows_of(2), "horizon": 0}, "horizon"),
    ("forecast", {"history": rows_of(2), "n": 257}, "n"),
    ("forecast", {"history": rows_of(2), "label": "vic"}, "label"),
    ("forecast", {"history": rows_of(2), "output": "all"}, "output"),
    ("forecast", {"history": rows_of(2), "quantiles": [0.5, 1.0]}, "quantiles.1"),
    ("forecast", {"history": rows_of(2), "format": "gif"}, "format"),
    ("forecast", {"history": rows_of(2), "table": rows_of(2)}, "table"),
    ("several", {"history": rows_of(2)}, "label"),
    ("several", {"history": rows_of(2), "label": "nws"}, "label"),
    ("impute", {"history": rows_of(2)}, "horizon"),
    ("impute", {"history": rows_of(2), "horizon": WINDOW}, "horizon"),
    ("fill", {"table": rows_of(3)}, "table"),
    ("fill", {"table": [[None, None]] * 3}, "table"),
    ("fill", {"table": "load,temperature\nx,1\n"}, "table.line 2.load"),
]


@pytest.mark.parametrize(("task", "body", "field"), BAD)
def test_what_cannot_be_read_is_refused_by_its_place(
    task: str, body: dict[str, Any], field: str, clients: dict[str, Any]
) -> None:
    client, path = clients["impute" if task == "fill" else task], "imputations" if task == "fill" else "forecasts"
    answer = client.post(f"/v1/{path}", json={"start": START, "n": 1, **body})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    told = [fault["field"] for fault in error["fields"]] if "fields" in error else [error["message"].split(":")[0]]
    assert told[0] == field
    assert len(answer.content) < 4000


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(value: str, clients: dict[str, Any]) -> None:
    body = f'{{"n": 1, "start": "{START}", "history": [[1.0, 2.0], [{value}, 1.0]]}}'
    answer = clients["forecast"].post(
        "/v1/forecasts", content=body.encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] in ("history.1.0", "body")


def test_a_huge_body_is_refused(clients: dict[str, Any]) -> None:
    answer = clients["forecast"].post("/v1/forecasts", json={"history": "1" * (1 << 20)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_faults_are_ten_at_most() -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(ForecastRequest, FORECAST, history=[["x", "y"]] * 50)
    assert len(caught.value.faults) == 10


def test_another_command_is_named() -> None:
    with pytest.raises(ParamsError, match=r"ddpm sample.* is sampled by `ddpm forecast`"):
        ServingSeries().check_command("sample", FORECAST)
    ServingSeries().check_command("forecast", IMPUTE)
