"""Models of the protocol: their metadata, versions that switch, and all that stands around a request."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.bundle.format import read_bundle
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import app_of, create_app, metrics_of
from pipelines.serving.hosted import Models, Version
from pipelines.serving.ops.assemble import operated
from pipelines.serving.ops.keys import Key, write_keys
from pipelines.serving.scheduler import Step
from pipelines.serving.service import Service
from tests.support.hosting import MANY, service_of, versions
from tests.support.inference import ask, binary, output, refusal, seeds, tensor
from tests.support.operated import log_lines, settings
from tests.support.served import LIMITS, post


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return versions(tmp_path_factory.mktemp("protocol"), 2)


def opened(folders: dict[str, Path], most: int | None = None, number: str | None = "7") -> Models:
    models = Models(MANY.waiting, MANY.at_once, most)
    for name, folder in folders.items():
        bundle = read_bundle(folder)
        models.add(name, Version(service_of(bundle), lambda bundle=bundle: service_of(bundle), number))  # type: ignore[misc]
    return models


def test_the_server_and_its_health(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    before = TestClient(app)  # without `with` nothing is started
    assert refusal(before.get("/v2/health/ready"), 503)
    assert refusal(before.get("/v2/models/default/ready"), 503)
    assert refusal(ask(before, "default", seeds(0)), 503)
    with TestClient(app) as client:
        told = client.get("/v2").json()
        assert (told["name"], told["extensions"]) == ("ddpm", ["binary_tensor_data"])
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get("/v2/models/default.network/ready").json() == {"name": "default.network", "ready": True}


def test_metadata_of_the_sampler_and_of_its_network(client: TestClient, sampler: Sampler) -> None:
    version = sampler.bundle.digest[:16]
    assert client.get("/v2/models/default").json() == {
        "name": "default",
        "versions": [version],
        "platform": "ddpm_sampler",
        "inputs": [
            {"name": "seed", "datatype": "INT64", "shape": [-1]},
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "steps", "datatype": "INT64", "shape": [1]},
            {"name": "guidance", "datatype": "FP32", "shape": [1]},
            {"name": "sampler", "datatype": "BYTES", "shape": [1]},
        ],
        "outputs": [{"name": "samples", "datatype": "UINT8", "shape": [-1, 1, 8, 8]}],
    }
    assert client.get(f"/v2/models/default.network/versions/{version}").json() == {
        "name": "default.network",
        "versions": [version],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 1, 8, 8]},
            {"name": "t", "datatype": "FP32", "shape": [-1]},
            {"name": "label", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [{"name": "out", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
    }


def test_a_version_is_asked_for_by_number_or_digest_and_goes_when_another_comes(bundles: list[Path]) -> None:
    old, new = (read_bundle(folder) for folder in bundles)
    models = opened({"digits": bundles[0]})
    with TestClient(app_of(models)) as client:
        assert client.get("/v2/models/digits").json()["versions"] == ["7", old.digest[:16]]
        first = ask(client, "digits/versions/7", seeds(0))
        assert (first.json()["model_name"], first.json()["model_version"]) == ("digits", "7")
        assert first.headers["x-bundle"] == old.digest
        same = ask(client, f"digits/versions/{old.digest[:16]}", seeds(0))
        np.testing.assert_array_equal(output(same), output(first))
        models.switch("digits", Version(service_of(new), lambda: service_of(new), "8"))
        assert "8" in refusal(ask(client, "digits/versions/7", seeds(0)), 404)
        assert refusal(client.get("/v2/models/digits/versions/7/ready"), 404)
        answer = ask(client, "digits", seeds(0))
        assert (answer.json()["model_version"], answer.headers["x-bundle"]) == ("8", new.digest)
        assert (output(answer) != output(first)).any()


def test_a_model_that_is_not_loaded_is_described_and_loaded_when_it_is_asked(bundles: list[Path]) -> None:
    models = opened({"one": bundles[0], "two": bundles[1]}, most=1, number=None)
    with TestClient(app_of(models)) as client:
        assert client.get("/v2/models/one").json()["inputs"][0]["name"] == "seed"
        assert client.get("/v2/models/one.network/ready").status_code == 200
        assert [card["loaded"] for card in models.cards()] == [False, True]
        assert ask(client, "one", seeds(0)).headers["x-bundle"] == read_bundle(bundles[0]).digest
        assert [card["loaded"] for card in models.cards()] == [True, False]


def test_a_served_name_goes_before_another_model_s_network(bundles: list[Path]) -> None:
    with TestClient(app_of(opened({"a": bundles[0], "a.network": bundles[1]}))) as client:
        answer = ask(client, "a.network", seeds(0))
        assert answer.json()["outputs"][0]["name"] == "samples"
        assert answer.headers["x-bundle"] == read_bundle(bundles[1]).digest


def network_request(n: int) -> tuple[bytes, dict[str, str]]:
    x = np.zeros((n, 1, 8, 8), np.float32)
    return binary({"x": x, "t": np.ones(n, np.float32), "label": np.zeros(n, np.int64)})


def test_keys_ids_logs_and_metrics(sampler: Sampler, tmp_path: Path) -> None:
    app = create_app(sampler, replace(LIMITS, body_bytes=100_000))
    keys = tmp_path / "keys"
    key, presented = Key.new("ann", None, 1, None)
    write_keys(keys, [key])
    around = operated(app, settings(keys=str(keys)), metrics_of(app.state.models))
    with TestClient(around) as client, log_lines() as lines:
        assert client.get("/v2/health/ready").status_code == 200
        assert "Bearer" in refusal(client.get("/v2"), 401)
        assert "Bearer" in refusal(ask(client, "default", seeds(0)), 401)
        client.headers["Authorization"] = f"Bearer {presented}"
        for name, n in (("default", 2), ("default.network", 5)):
            if name == "default":
                answer = ask(client, name, seeds(0, 1), tensor("steps", np.array([3])))
            else:
                content, headers = network_request(n)
                answer = client.post(f"/v2/models/{name}/infer", content=content, headers=headers)
            assert answer.status_code == 200
            assert answer.headers["x-request-id"]
        assert refusal(ask(client, "default"))
        told = lines.requests()[-3:]
        text = client.get("/metrics").text
    assert [(line["route"], line["key"], line["model"]) for line in told[:2]] == [
        ("/v2/models/{name}/infer", "ann", "default")
    ] * 2
    assert [(line.get("count"), line["cost"]) for line in told[:2]] == [(2, 6), (None, 5)]
    assert told[2]["outcome"] == "invalid_request"
    assert 'ddpm_samples_total{model="default"} 2.0' in text
    assert 'ddpm_network_evaluations_total{model="default"} 11.0' in text


def in_background(work: Callable[[], httpx.Response]) -> tuple[threading.Thread, list[httpx.Response]]:
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    return thread, answers


def test_the_network_waits_its_turn_and_a_full_queue_refuses_it(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    def held(self: Service, recipe: Any, asked: Any, watch: Any, edit: Any, step: Step) -> Any:
        begun.set()
        assert go.wait(20)
        return whole(self, recipe, asked, watch, edit, step)

    whole = Service._sample
    monkeypatch.setattr(Service, "_sample", held)
    content, headers = network_request(1)
    path = "/v2/models/default.network/infer"
    with TestClient(create_app(sampler, replace(LIMITS, waiting=1))) as client:
        running = [in_background(lambda: post(client))]
        assert begun.wait(20)
        running.append(in_background(lambda: client.post(path, content=content, headers=headers)))
        end = threading.Event()
        for _ in range(2000):
            if app_waiting(client) == 1:
                break
            end.wait(0.01)
        assert not running[1][1]
        refused = client.post(path, content=content, headers=headers)
        assert "too much is asked for already" in refusal(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/v2/health/live").status_code == 200  # the event loop goes on
        go.set()
        for thread, answers in running:
            thread.join(20)
            assert [answer.status_code for answer in answers] == [200]


def app_waiting(client: TestClient) -> int:
    scheduler = client.app.state.models.scheduler  # type: ignore[attr-defined]
    return int(scheduler.in_hand[1])
