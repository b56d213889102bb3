"""The real service inside the operator's middleware: what is told of a request is true."""

import pytest
from fastapi.testclient import TestClient

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app, metrics_of
from pipelines.serving.http import HttpError
from pipelines.serving.openai.order import Order
from pipelines.serving.ops.assemble import operated
from pipelines.serving.scheduler import QueueFull, Scheduler
from tests.support.operated import log_lines, settings
from tests.support.served import LIMITS, post


def test_log_and_metrics_tell_the_model_the_samples_and_their_cost(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    metrics = metrics_of(app.state.models)
    with log_lines() as lines, TestClient(operated(app, settings(), metrics)) as client:
        assert post(client, n=3, steps=4, sampler="ddim", guidance=0.5).status_code == 200
        assert post(client, n=200, steps=50).status_code == 422
        text = client.get("/metrics").text
    good, costly = lines.requests()
    assert (good["model"], good["bundle"], good["count"]) == ("default", sampler.bundle.digest, 3)
    assert good["cost"] == 3 * 4 * 2
    assert good["queued"] >= 0
    assert (costly["outcome"], costly["cost"]) == ("too_costly", 200 * 50)
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert told['ddpm_samples_total{model="default"}'] == "3.0"
    assert told['ddpm_network_evaluations_total{model="default"}'] == "24.0"
    assert told["ddpm_step_duration_seconds_count"] == "4.0"
    assert told["ddpm_requests_running"] == "0.0"
    assert told["ddpm_ready"] == "1.0"
    (info,) = [name for name in told if name.startswith("ddpm_model_info")]
    assert f'bundle="{sampler.bundle.digest}"' in info
    assert 'kind="pictures"' in info
    assert 'provider="CPU' in info


def queue_is_full(_scheduler: Scheduler, _client: str) -> None:
    raise QueueFull(4, 7)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images",
        "/v1/images/interpolations",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v2/models/default/infer",
    ],
)
def test_a_route_that_samples_refuses_with_a_full_queue_before_it_reads_and_the_log_says_so(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(Scheduler, "must_have_place", queue_is_full)
    app = create_app(sampler, LIMITS)
    metrics = metrics_of(app.state.models)
    with log_lines() as lines, TestClient(operated(app, settings(), metrics)) as client:
        answer = client.post(path, content=b"no JSON", headers={"Content-Type": "text/plain"})
        text = client.get("/metrics").text
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert [line["outcome"] for line in lines.requests()] == ["queue_full"]
    assert 'outcome="queue_full"' in text


def test_an_error_in_openai_s_shape_has_its_code_in_the_log(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    metrics = metrics_of(app.state.models)
    with log_lines() as lines, TestClient(operated(app, settings(), metrics)) as client:
        for body in ({"prompt": "a cat"}, {"prompt": "one", "model": "six"}, {"unknown": 1}):
            answer = client.post("/v1/images/generations", json=body)
            assert lines.requests()[-1]["outcome"] == answer.json()["error"]["code"]


def test_an_error_in_the_middle_of_a_stream_has_its_code_in_the_log(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(_order: Order, _samples: object) -> None:
        raise HttpError(500, "cannot_sample", "no")

    monkeypatch.setattr(Order, "pictures", failing)
    app = create_app(sampler, LIMITS)
    body = {"prompt": "one", "stream": True, "partial_images": 1}
    with log_lines() as lines, TestClient(operated(app, settings(), metrics_of(app.state.models))) as client:
        answer = client.post("/v1/images/generations", json=body)
    assert answer.status_code == 200
    assert "event: error" in answer.text
    assert [line["outcome"] for line in lines.requests()] == ["cannot_sample"]
