"""Ids, log lines and metrics of requests."""

import logging
import re

import pytest
from h11 import LocalProtocolError
from starlette.requests import ClientDisconnect

from pipelines.serving.ops import logs
from pipelines.serving.ops.facts import CURRENT, RequestFacts, current
from tests.support.operated import client, log_lines

POST = ("POST", "/v1/images")


@pytest.mark.parametrize("sent", ["a", "trace-1.2_Z", "x" * 64])
def test_a_sane_id_comes_back(sent: str) -> None:
    assert client().post("/v1/images", headers={"X-Request-Id": sent}).headers.get_list("x-request-id") == [sent]


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", 'a"b', "a\tb", "é", "{}"])
def test_another_id_is_replaced(sent: str) -> None:
    answer = client().post("/v1/images", headers={"X-Request-Id": sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_two_ids_are_none() -> None:
    answer = client().post("/v1/images", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_each_request_has_an_id_of_its_own() -> None:
    http = client()
    assert len({http.get("/health/live").headers["x-request-id"] for _ in range(20)}) == 20
    assert CURRENT.get() is None


def test_one_line_a_request_says_what_was_asked_and_each_line_has_its_id() -> None:
    with log_lines() as lines:
        client().post("/v1/images", content=b"12345", headers={"X-Request-Id": "r1"})
    (line,) = lines.requests()
    assert line["seconds"] >= 0
    assert {name: line[name] for name in line.keys() - {"time", "seconds"}} == {
        "level": "info",
        "logger": "pipelines.serving.ops.observed",
        "message": "request",
        "request": "r1",
        "method": "POST",
        "route": "/v1/images",
        "status": 200,
        "client": "testclient",
        "model": "default",
        "bundle": "d1ge57",
        "count": 3,
        "cost": 60,
        "queued": 0.25,
    }
    assert [('"in the middle"' in raw, '"request": "r1"' in raw) for raw in lines.raw] == [(True, True), (False, True)]


def test_nothing_of_what_a_client_wrote_is_logged_but_its_sane_id() -> None:
    with log_lines() as lines:
        http = client()
        http.get("/v1/models/SECRET?SECRET=SECRET", headers={"X-Request-Id": "SECRET\x01", "User-Agent": "SECRET"})
        http.post("/SECRET", content=b"SECRET")
        http.request("SECRET", "/v1/images")
    assert [(line["method"], line["route"], line["status"]) for line in lines.requests()] == [
        ("GET", "/v1/models/{name}", 422),
        ("POST", "other", 404),
        ("other", "/v1/images", 405),
    ]
    assert not [raw for raw in lines.raw if "SECRET" in raw]
    assert lines.requests()[0]["outcome"] == "too_costly"


def test_lines_of_probes_are_for_debugging() -> None:
    for level, number in ((logging.INFO, 0), (logging.DEBUG, 2)):
        with log_lines(level) as lines:
            http = client()
            http.get("/health/live")
            http.get("/metrics")
        assert len(lines.requests()) == number


def test_a_failing_route_is_answered_in_our_shape_and_logged_with_the_id() -> None:
    with log_lines() as lines:
        answer = client().get("/fails", headers={"X-Request-Id": "r9"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "r9"
    assert [line["status"] for line in lines.requests()] == [500]
    (trace,) = [raw for raw in lines.raw if "traceback" in raw]
    assert '"request": "r9"' in trace
    assert "RuntimeError: broken" in trace


@pytest.mark.parametrize("error", [ClientDisconnect, LocalProtocolError])
def test_a_client_that_leaves_or_breaks_the_protocol_is_one_line_and_no_failure_of_ours(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_request: object) -> bytes:
        raise error("gone")

    monkeypatch.setattr("starlette.requests.Request.body", gone)
    with log_lines() as lines:
        client().post("/v1/images", content=b"1")
    assert [(line["status"], line["outcome"]) for line in lines.requests()] == [(499, "client_closed_request")]
    assert not [raw for raw in lines.raw if "traceback" in raw]


def test_text_lines_have_the_facts_and_the_id_after_the_message() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "request", (), None)
    record.facts = {"route": "/v1/images", "key": None, "status": 200}
    token = CURRENT.set(RequestFacts("r1"))
    try:
        assert logs.TextLines(logging.Formatter()).format(record) == "request route=/v1/images status=200 request=r1"
    finally:
        CURRENT.reset(token)
    assert current().id == ""


def test_a_line_of_json_stays_one_line_whatever_the_message() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, 'a\nb\u2028"%s"', ("c\r",), None)
    text = logs.JsonLines().format(record)
    assert len(text.splitlines()) == 1
    assert text.isascii()


def test_the_format_can_be_changed_and_changed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    plain = logging.Formatter("plain %(message)s")
    handler.setFormatter(plain)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", (), None)
    for _ in range(2):
        logs.use("text")
        assert handler.format(record) == "plain hello"
    logs.use("json")
    assert handler.format(record).startswith("{")
