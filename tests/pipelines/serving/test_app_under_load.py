"""The HTTP service under load: a full queue, time limits, requests at once, its end, a model that fails."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient

from ddpm_core.errors import IntegrityError
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving import service
from pipelines.serving.app import create_app
from pipelines.serving.ops.facts import CURRENT, RequestFacts
from pipelines.serving.scheduler import Job
from pipelines.serving.server import Server
from pipelines.serving.service import Limits
from tests.support.imports import ROOT
from tests.support.served import LIMITS, post
from tests.support.tiny_bundle import tiny_bundle


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
        for route in ("", "/generations", "/edits"):
            assert client.post(f"/v1/images{route}", content=b"is not read").status_code == 429
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

    def recorded(work: Any, cost: int, deadline: float, *rest: Any) -> Job:
        deadlines.append(deadline)
        return Job(work, cost, deadline, *rest)

    monkeypatch.setattr(service, "Job", recorded)
    before = time.monotonic()
    assert post(client).status_code == 200
    assert before + LIMITS.seconds <= deadlines[0] <= time.monotonic() + LIMITS.seconds


def test_a_request_takes_the_share_of_its_key_or_of_its_address(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[str] = []

    def recorded(work: Any, cost: int, deadline: float, client: str, *rest: Any) -> Job:
        clients.append(client)
        return Job(work, cost, deadline, client, *rest)

    app = create_app(sampler, LIMITS)

    async def with_key(scope: Any, receive: Any, send: Any) -> None:
        CURRENT.set(RequestFacts("1", key="the key"))
        await app(scope, receive, send)

    monkeypatch.setattr(service, "Job", recorded)
    for each in (app, with_key):
        with TestClient(each) as client:
            assert post(client).status_code == 200
    assert clients == ["testclient", "the key"]


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
        app.state.models.scheduler.close()
        thread.join(20)
    assert results[0].status_code == 503
    assert slow.ended == ["JobCancelled"]


def test_a_request_that_cannot_end_in_time_is_refused_at_once(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    with TestClient(app) as client:
        service = client.portal.call(app.state.models.get)  # type: ignore[union-attr]
        service.pace.measure(1, 100.0, 1, time.monotonic())
        answer = post(client, steps=5)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_late")
        assert "retry-after" not in answer.headers  # it is no use to come again
        assert post(client, n=4, steps=5).status_code == 200  # calls of another size are not known to be slow


def test_a_client_that_leaves_gives_up_its_place(sampler: Sampler) -> None:
    slow = SlowSampler(sampler)
    app = create_app(slow, LIMITS)  # type: ignore[arg-type]
    sent: list[Any] = []
    body = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if body:
            return body.pop()
        await asyncio.to_thread(slow.begun.wait, 20)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/images", "query_string": b"", "client": ("there", 1)}
    scope |= {"headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http"}
    with TestClient(app) as client:
        client.portal.call(app, scope, receive, send)  # type: ignore[union-attr]
        assert slow.ended == ["JobCancelled"]
        assert app.state.models.scheduler.in_hand == (0, 0)
    assert sent[0]["status"] == 499  # nobody reads it, but the log


def test_a_server_that_is_told_to_stop_drains_first_and_closes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    class Served:
        def leave(self) -> None:
            done.append("leave")

        def drain(self, seconds: float) -> None:
            done.append(seconds)

        def close(self) -> None:
            done.append("close")

    async def shutdown(self: Any, sockets: Any) -> None:
        done.append("connections")

    monkeypatch.setattr(uvicorn.Server, "shutdown", shutdown)
    asyncio.run(Server(uvicorn.Config(Server), Served(), 7.0).shutdown())  # type: ignore[arg-type]
    assert done == ["leave", 7.0, "connections", "close"]


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
