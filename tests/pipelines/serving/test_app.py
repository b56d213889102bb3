"""The HTTP service: its pictures are the sampler's, its refusals are clear, and hostile requests change nothing."""

import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.errors import IntegrityError
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving import app as service
from pipelines.serving.app import Limits, create_app
from pipelines.serving.scheduler import Job
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_bundle

LIMITS = Limits(cost=1000, waiting=2, at_once=1, seconds=30.0, body_bytes=4096)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(tiny_bundle(tmp_path_factory.mktemp("served") / "b", golden=True), "cpu")


@pytest.fixture(scope="module")
def client(sampler: Sampler) -> Iterator[TestClient]:
    with TestClient(create_app(sampler, LIMITS)) as made:
        yield made


def post(client: Any, **body: Any) -> httpx.Response:
    answer: httpx.Response = client.post("/v1/images", json=body)
    return answer


def test_a_picture_is_the_sampler_s_own(client: TestClient, sampler: Sampler) -> None:
    answer = post(client, label=2, seed=5, steps=6, guidance=1.0)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(
        decode_png(answer.content), sampler.sample(sampler.recipe(steps=6, guidance=1.0), [5], {"label": [2]})[0]
    )


def test_headers_say_what_made_the_pictures(client: TestClient, sampler: Sampler) -> None:
    answer = post(client, n=3, seed=10, sampler="heun", steps=5)
    assert answer.headers["x-seeds"] == "10,11,12"
    assert answer.headers["x-bundle"] == sampler.bundle.digest
    assert (answer.headers["x-sampler"], answer.headers["x-steps"], answer.headers["x-guidance"]) == ("heun", "5", "0")


def test_the_same_request_gives_the_same_bytes_in_every_format(client: TestClient) -> None:
    for kind in ("png", "zip", "npz"):
        assert post(client, n=3, format=kind).content == post(client, n=3, format=kind).content


def test_zip_and_npz_hold_the_same_pictures_and_neighbours_change_none(client: TestClient, sampler: Sampler) -> None:
    body = {"labels": ["one", 2, None, "none"], "seed": 7}
    with np.load(io.BytesIO(post(client, **body, format="npz").content)) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert labels.tolist() == [1, 2, -1, -1]
    with zipfile.ZipFile(io.BytesIO(post(client, **body, format="zip").content)) as archive:
        for image, entry in zip(images, json.loads(archive.read("index.json"))["pictures"], strict=True):
            np.testing.assert_array_equal(decode_png(archive.read(entry["file"])), image)
    alone = post(client, label=2, seed=8)
    np.testing.assert_array_equal(decode_png(alone.content), images[1])


def test_labels_go_in_turn_unless_told(client: TestClient) -> None:
    with np.load(io.BytesIO(post(client, n=4, format="npz").content)) as arrays:
        assert arrays["labels"].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: Invalid JSON"),
        (b"not json", "body: Invalid JSON"),
        (b"[]", "body: Input should be"),
        (b"null", "body: Input should be"),
        (b'{"n": 0}', "n: Input should be greater than or equal to 1"),
        (b'{"n": -1}', "n: Input should be greater than or equal to 1"),
        (b'{"n": 257}', "n: Input should be less than or equal to 256"),
        (b'{"n": "1"}', "n: Input should be a valid integer"),
        (b'{"n": true}', "n: Input should be a valid integer"),
        (b'{"n": 1.5}', "n: Input should be a valid integer"),
        (b'{"n": 1e400}', "n: "),
        (b'{"n": NaN}', "n: "),
        (b'{"seed": 9007199254740993}', "seed: Input should be less than"),
        (b'{"seed": 1' + b"0" * 400 + b"}", "seed: "),
        (b'{"seed": -1}', "seed: Input should be greater"),
        (b'{"steps": 1000000000}', "steps: Input should be less than"),
        (b'{"steps": 51}', "steps: must be from 1 to the schedule's 50 levels, got 51"),
        (b'{"guidance": NaN}', "guidance: "),
        (b'{"guidance": Infinity}', "guidance: "),
        (b'{"guidance": 1e999}', "guidance: "),
        (b'{"guidance": -0.1}', "guidance: Input should be greater than or equal to 0"),
        (b'{"sampler": "dimm"}', "sampler: must be one of .* got 'dimm'; did you mean 'ddim'\\?"),
        (b'{"sampler": 3}', "sampler: Input should be a valid string"),
        (b'{"label": "thre"}', "label: must be `cycle`, `none`, or classes .*got 'thre'"),
        (b'{"label": 3}', "label: must be .*got 3; the classes are zero, one, two"),
        (b'{"label": true}', "^label: Input should be a class by number or name, or null$"),
        (b'{"labels": [1, 2.5]}', r"^labels\.1: Input should be a class by number or name, or null$"),
        (b'{"labels": []}', "labels: List should have at least 1 item"),
        (b'{"labels": ["one", "on"]}', "labels: must be .*got 'on'; did you mean 'one'\\?"),
        (b'{"labels": [0], "label": 1}', "give `label` or `labels`, not both"),
        (b'{"labels": [0, 1], "n": 3}', "n must be the number of `labels`, 2, got 3"),
        (b'{"format": "gif"}', "format: Input should be 'png', 'zip' or 'npz'"),
        (b'{"n": 1, "extra": 1}', "extra: Extra inputs are not permitted"),
        (b'{"\\ud800": 1}', "."),
        (b'{"label": "\\ud800"}', "."),
        (b'{"label": "\xff\xfe"}', "."),
        (b'{"' + b"k" * 3000 + b'": 1}', "k{80}: Extra inputs"),
        (b"[" * 4000, "body: "),
        (b'{"a":' * 700, "body: "),
    ],
)
def test_hostile_and_mistaken_bodies_are_refused_and_the_service_lives(
    client: TestClient, body: bytes, message: str
) -> None:
    answer = client.post("/v1/images", content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert re.search(message, error["message"]), error["message"]
    assert len(answer.content) < 4000
    assert post(client).status_code == 200


def test_all_faults_are_told_at_once_field_by_field(client: TestClient) -> None:
    fields = post(client, n=0, steps="x", colour="red").json()["error"]["fields"]
    assert [fault["field"] for fault in fields] == ["n", "steps", "colour"]


def test_a_costly_request_is_refused_with_its_cost(client: TestClient) -> None:
    answer = post(client, n=200, steps=50, guidance=1)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["cost"], error["limit"]) == ("too_costly", 20_000, 1000)
    assert "must be at most 1000, got 20000; ask for fewer" in error["message"]


@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_a_request_may_cost_the_limit_and_not_one_evaluation_more(sampler: Sampler, guidance: float) -> None:
    """n pictures of ddim cost n times the steps, and twice that with guidance at every step."""
    times = 2 if guidance else 1
    limits = Limits(cost=12 * times, waiting=2, at_once=1, seconds=30.0, body_bytes=4096)
    with TestClient(create_app(sampler, limits)) as client:
        for n, steps, status in ((12, 1, 200), (3, 4, 200), (1, 12, 200), (13, 1, 422), (1, 13, 422), (5, 3, 422)):
            answer = post(client, n=n, steps=steps, guidance=guidance, sampler="ddim")
            assert answer.status_code == status, (n, steps)
            if status == 422:
                assert answer.json()["error"]["cost"] == n * steps * times


def test_a_large_body_is_refused_whether_it_says_its_size_or_not(client: TestClient) -> None:
    large = b'{"n": 1' + b" " * 5000 + b"}"
    for content in (large, iter([large[:3000], large[3000:]])):
        answer = client.post("/v1/images", content=content, headers=JSON)
        assert answer.status_code == 413
        assert "at most 4096 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_what_is_not_json_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/images", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "send JSON, with the header Content-Type: application/json" in answer.json()["error"]["message"]


def test_unknown_paths_and_methods_answer_in_the_same_shape(client: TestClient) -> None:
    assert client.get("/v2").json()["error"]["code"] == "not_found"
    answer = client.get("/v1/images")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert client.get("/docs").status_code == 404


def test_model_and_health_are_told(client: TestClient, sampler: Sampler) -> None:
    about = client.get("/v1/model").json()
    assert about["bundle"] == sampler.bundle.digest
    assert about["classes"] == ["zero", "one", "two"]
    assert about["limits"] == {
        "cost": 1000,
        "waiting": 2,
        "at_once": 1,
        "seconds": 30.0,
        "body_bytes": 4096,
        "pictures": 256,
    }
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_not_ready_before_the_start_and_after_the_end(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    before = TestClient(app)  # without `with` nothing is started
    assert before.get("/health/ready").status_code == 503
    answer = post(before)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1
    with TestClient(app) as started:
        assert started.get("/health/ready").status_code == 200
    assert before.get("/health/ready").status_code == 503


def test_openapi_describes_the_request_and_its_examples_are_served(client: TestClient) -> None:
    openapi = client.get("/openapi.json").json()
    operation = openapi["paths"]["/v1/images"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert set(content["schema"]["properties"]) == {
        "n",
        "label",
        "labels",
        "steps",
        "sampler",
        "guidance",
        "seed",
        "format",
    }
    assert content["schema"]["additionalProperties"] is False
    assert {"200", "413", "415", "422", "429", "503", "504"} <= set(operation["responses"])
    for example in content["examples"].values():
        body = {key: value for key, value in example["value"].items() if key not in ("label", "labels")}
        assert post(client, **body).status_code == 200


class SlowSampler:
    """A sampler whose steps go on until it is let go."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler, self.begun, self.go = sampler, threading.Event(), threading.Event()
        self.ended: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def sample(self, *args: Any, on_step: Callable[[int, int], None], **options: Any) -> Any:
        self.begun.set()
        try:
            while not self.go.wait(0.005):
                on_step(1, 2)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        return self._sampler.sample(*args, **options)


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "waited too long"
        threading.Event().wait(0.01)


def test_a_full_queue_answers_429_with_retry_after_and_the_others_are_served(sampler: Sampler) -> None:
    slow = SlowSampler(sampler)
    app = create_app(slow, LIMITS)  # type: ignore[arg-type]
    with TestClient(app) as client:
        running = [in_background(lambda: post(client, seed=0))]
        assert slow.begun.wait(20)
        running += [in_background(lambda seed=seed: post(client, seed=seed)) for seed in (1, 2)]
        refused: list[httpx.Response] = []

        def full() -> bool:
            thread, results = in_background(lambda: post(client, seed=3))
            thread.join(0.3)
            if thread.is_alive():  # it found a place in the queue before one of the two
                running.append((thread, results))
            refused.extend(result for result in results if result.status_code == 429)
            return bool(refused)

        until(full)
        assert refused[0].json()["error"]["code"] == "queue_full"
        assert int(refused[0].headers["retry-after"]) >= 1
        assert client.get("/health/live").status_code == 200
        slow.go.set()
        for thread, _ in running:
            thread.join(20)
        assert sorted({results[0].status_code for _, results in running}) in ([200], [200, 429])


def test_a_request_that_takes_too_long_answers_504(sampler: Sampler) -> None:
    slow = SlowSampler(sampler)
    limits = Limits(cost=1000, waiting=2, at_once=1, seconds=0.05, body_bytes=4096)
    with TestClient(create_app(slow, limits)) as client:  # type: ignore[arg-type]
        answer = post(client)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "too_late")
    assert slow.ended == ["JobTimeout"]


def test_a_request_has_the_seconds_of_the_limit_from_its_beginning(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []

    def recorded(work: Any, cost: int, deadline: float) -> Job:
        deadlines.append(deadline)
        return Job(work, cost, deadline)

    monkeypatch.setattr(service, "Job", recorded)
    before = time.monotonic()
    assert post(client).status_code == 200
    assert before + LIMITS.seconds <= deadlines[0] <= time.monotonic() + LIMITS.seconds


def test_requests_that_are_sampled_at_once_give_the_bytes_of_those_alone(client: TestClient, sampler: Sampler) -> None:
    bodies = [{"n": 1 + seed % 3, "seed": seed, "steps": 20, "sampler": "ancestral"} for seed in range(6)]
    alone = [post(client, **body).content for body in bodies]
    many = Limits(cost=1000, waiting=6, at_once=3, seconds=30.0, body_bytes=4096)
    with TestClient(create_app(sampler, many)) as together:
        running = [in_background(lambda body=body: post(together, **body)) for body in bodies]
        for thread, _ in running:
            thread.join(20)
    assert [results[0].content for _, results in running] == alone


def test_shutdown_gives_up_what_runs(sampler: Sampler) -> None:
    slow = SlowSampler(sampler)
    app = create_app(slow, LIMITS)  # type: ignore[arg-type]
    with TestClient(app) as client:
        thread, results = in_background(lambda: post(client))
        assert slow.begun.wait(20)
        app.state.service.scheduler.close()
        thread.join(20)
    assert results[0].status_code == 503
    assert slow.ended == ["JobCancelled"]


def test_a_model_that_fails_answers_500_in_the_same_shape(sampler: Sampler) -> None:
    class Broken(SlowSampler):
        def sample(self, *args: Any, **options: Any) -> Any:
            raise IntegrityError("the model gave a non-finite value")

    with TestClient(create_app(Broken(sampler), LIMITS)) as client:  # type: ignore[arg-type]
        answer = post(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "cannot_sample")
        assert client.get("/health/ready").status_code == 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`ddpm serve` as a person starts it, on a free port of this machine."""
    folder = tmp_path_factory.mktemp("real") / "b"
    tiny_bundle(folder, golden=True, T=1000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--bundle", str(folder), "--port", str(port)]
    command += ["--device", "cpu", "--max-cost", "1000000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: process.poll() is not None or _answers(url))
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        yield url, process
    finally:
        process.kill()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_real_server_serves_drops_clients_that_leave_and_stops_on_a_signal(
    server: tuple[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    url, process = server
    answer = httpx.post(f"{url}/v1/images", json={"label": "two", "seed": 3}, timeout=30)
    assert answer.status_code == 200
    tiny = Sampler(tiny_bundle(tmp_path / "b", golden=True, T=1000), "cpu")
    assert answer.headers["x-bundle"] == tiny.bundle.digest
    np.testing.assert_array_equal(decode_png(answer.content), tiny.sample(tiny.recipe(), [3], {"label": [2]})[0])
    assert "server" not in answer.headers
    # A job of minutes, whose client leaves at once: the next request need not wait for it.
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/v1/images", json={"n": 256, "steps": 1000, "guidance": 1}, timeout=0.5)
    assert httpx.post(f"{url}/v1/images", json={}, timeout=20).status_code == 200
    process.terminate()
    assert process.wait(20) in (0, 143, -15)
