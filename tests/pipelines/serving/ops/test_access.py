"""Who may ask: keys, CORS, and the paths that stay open."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.serving.ops.keys import Key, write_keys
from tests.support.operated import client, log_lines


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, str]:
    made = {
        "ann": Key.new("ann", None, 1, None),
        "slow": Key.new("slow", 0.001, 2, None),
        "prometheus": Key.new("prometheus", None, 1, "metrics"),
    }
    write_keys(tmp_path / "keys.json", [key for key, _ in made.values()])
    return {**{name: text for name, (_, text) in made.items()}, "file": str(tmp_path / "keys.json")}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_known_key_is_let_in_and_its_name_is_logged(texts: dict[str, str]) -> None:
    with log_lines() as lines:
        http = client(keys=texts["file"])
        for scheme in ("Bearer", "bearer", "BEARER "):
            assert http.post("/v1/images", headers={"Authorization": f"{scheme} {texts['ann']}"}).status_code == 200
    assert [line["key"] for line in lines.requests()] == ["ann"] * 3
    assert not [raw for raw in lines.raw if texts["ann"] in raw]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}, bearer("wrong")],
)
def test_without_a_known_key_nothing_is_read(texts: dict[str, str], headers: dict[str, str]) -> None:
    with log_lines() as lines:
        answer = client(keys=texts["file"]).post("/v1/images", headers=headers)
    assert error(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["x-content-type-options"] == "nosniff"
    (line,) = lines.requests()
    assert (line["route"], line["status"], line["outcome"]) == ("/v1/images", 401, "unauthorized")
    assert "model" not in line


def test_two_keys_are_none(texts: dict[str, str]) -> None:
    headers = [("Authorization", f"Bearer {texts['ann']}")] * 2
    assert client(keys=texts["file"]).post("/v1/images", headers=headers).status_code == 401


def test_every_path_needs_a_key_but_health_and_the_files_of_the_page(texts: dict[str, str]) -> None:
    http = client(keys=texts["file"], metrics="key")
    assert http.get("/health/live").status_code == 200
    for path in ("/", "/page/x.js", "/page/"):
        assert http.get(path).status_code == 404  # this application has no page
    for path in (
        "/page",
        "/pages",
        "/v1/page/",
        "/v1/models/a",
        "/openapi.json",
        "/metrics",
        "/no",
        "//health/live",
        "/health/live/",
        "/fails",
    ):
        assert http.get(path).status_code == 401, path
    assert http.get("/metrics", headers=bearer(texts["ann"])).status_code == 200


def test_metrics_are_open_where_that_was_chosen(texts: dict[str, str]) -> None:
    assert client(keys=texts["file"]).get("/metrics").status_code == 200


def test_a_key_for_metrics_reads_nothing_else(texts: dict[str, str]) -> None:
    http = client(keys=texts["file"], metrics="key")
    assert http.get("/metrics", headers=bearer(texts["prometheus"])).status_code == 200
    assert error(http.post("/v1/images", headers=bearer(texts["prometheus"]))) == (403, "forbidden")


def test_a_key_that_asks_too_often_is_told_when_to_come_again(texts: dict[str, str]) -> None:
    http = client(keys=texts["file"])
    answers = [http.post("/v1/images", headers=bearer(texts["slow"])) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert error(answers[2])[1] == "rate_limited"
    assert 990 <= int(answers[2].headers["retry-after"]) <= 1000
    assert http.post("/v1/images", headers=bearer(texts["ann"])).status_code == 200


PREFLIGHT = {
    "Origin": "https://a.org",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_no_other_page_may_call_the_service_unless_its_origin_is_named(texts: dict[str, str]) -> None:
    closed, named = client(), client(cors=["https://a.org"], keys=texts["file"])
    assert "access-control-allow-origin" not in closed.post("/v1/images", headers={"Origin": "https://a.org"}).headers
    assert "access-control-allow-origin" not in closed.options("/v1/images", headers=PREFLIGHT).headers
    allowed = named.options("/v1/images", headers=PREFLIGHT)  # a browser sends no key with it
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://a.org")
    assert named.options("/v1/images", headers={**PREFLIGHT, "Origin": "https://b.org"}).status_code == 400
    for asked in ("x-stainless-lang, authorization", "traceparent"):  # of OpenAI's clients, of OpenTelemetry
        allowed = named.options("/v1/images", headers={**PREFLIGHT, "Access-Control-Request-Headers": asked})
        assert (allowed.status_code, allowed.headers["access-control-allow-headers"]) == (200, asked)
    answer = named.post("/v1/images", headers={**bearer(texts["ann"]), "Origin": "https://a.org"})
    assert answer.headers["access-control-allow-origin"] == "https://a.org"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    refused = named.post("/v1/images", headers={"Origin": "https://a.org"})  # so that the page can read why
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://a.org")
