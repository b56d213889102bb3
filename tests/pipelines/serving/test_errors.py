"""Every error has the shape that its route's clients know, and says all that is wrong."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app, metrics_of
from pipelines.serving.ops.assemble import operated
from pipelines.serving.ops.keys import Key, write_keys
from tests.support.operated import settings
from tests.support.served import LIMITS, post

MANY_DIGITS = "7" * 5000  # more than Python reads as a number
OPENAI = ("/v1/images/generations", "/v1/images/edits")


def test_a_label_of_more_digits_than_python_reads_is_an_unknown_one(sampler: Sampler) -> None:
    client = TestClient(create_app(sampler, replace(LIMITS, body_bytes=65_536)))
    for body in ({"prompt": MANY_DIGITS}, {"prompt": f"1,{MANY_DIGITS}"}):
        answer = client.post("/v1/images/generations", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")
    form = {"prompt": MANY_DIGITS}
    answer = client.post("/v1/images/edits", data=form, files={"image": ("a.png", b"x")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


@pytest.mark.parametrize("path", ["/v1/images", "/v1/images/generations", "/v2/models/default/infer"])
def test_a_failure_of_the_code_has_the_shape_of_its_route(
    sampler: Sampler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(sampler, LIMITS)

    def fails(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(app.state.models, "must_have_place", fails)
    answer = TestClient(operated(app, settings(), metrics_of(app.state.models))).post(path, json={})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert "a secret" not in answer.text
    error = answer.json()["error"]
    if path.startswith("/v2"):
        assert "log" in error
    else:
        assert error["code"] == "internal_error"
        assert ("type" in error, "param" in error) == (path in OPENAI,) * 2
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", OPENAI)
def test_what_the_operator_refuses_has_openai_s_shape_at_its_routes(
    sampler: Sampler, tmp_path: Path, path: str
) -> None:
    slow, text = Key.new("slow", 0.001, 1, None)
    only, metrics = Key.new("prometheus", None, 1, "metrics")
    write_keys(tmp_path / "keys.json", [slow, only])
    app = create_app(sampler, LIMITS)
    http = TestClient(operated(app, settings(keys=str(tmp_path / "keys.json")), metrics_of(app.state.models)))
    found = [
        http.post(path, headers={} if key is None else {"Authorization": f"Bearer {key}"})
        for key in (None, metrics, text, text)
    ]
    errors = [answer.json()["error"] for answer in found]
    assert [
        (answer.status_code, error["type"], error["param"]) for answer, error in zip(found, errors, strict=True)
    ] == [
        (401, "authentication_error", None),
        (403, "permission_error", None),
        (415, "invalid_request_error", None),
        (429, "rate_limit_error", None),
    ]
    assert http.get(path, headers={"Authorization": f"Bearer {metrics}"}).json()["error"]["type"] == "permission_error"


@pytest.mark.parametrize("path", ["/v1/images", *OPENAI, "/v1/images/interpolations", "/v2/models/default/infer"])
def test_a_compressed_body_is_not_supported_anywhere(client: TestClient, path: str) -> None:
    kind = "multipart/form-data; boundary=x" if path.endswith("edits") else "application/json"
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    answer = client.post(path, content=gzip.compress(b"{}"), headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding" in answer.text
    same = client.post(path, content=b"{}", headers={**headers, "Content-Encoding": "Identity"})
    assert same.status_code != 415


def test_all_that_is_wrong_is_told_at_once_whoever_finds_it(client: TestClient) -> None:
    answer = post(client, label="x", sampler="nope", steps=5000)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert [fault["field"] for fault in error["fields"]] == ["sampler", "steps", "label"]
    assert all(f"{fault['field']}: {fault['message']}" in error["message"] for fault in error["fields"])


def test_a_single_fault_is_told_by_its_field(client: TestClient) -> None:
    for body, field in (({"steps": 51}, "steps"), ({"sampler": "dimm"}, "sampler"), ({"label": "thre"}, "label")):
        (fault,) = post(client, **body).json()["error"]["fields"]
        assert fault["field"] == field


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"])
def test_health_answers_head(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "head" not in client.get("/openapi.json").json()["paths"][path]
