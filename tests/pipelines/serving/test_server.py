"""A real server as it is operated: too many connections, proxies, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from ddpm_core.errors import DdpmError
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.server import bound
from tests.pipelines.serving.test_app_under_load import SlowSampler, in_background, until
from tests.support.imports import ROOT
from tests.support.operated import settings
from tests.support.operating import answer_to, connected, metric, operating, read_all
from tests.support.tiny_bundle import tiny_bundle

HALF_A_HEAD = b"POST /v1/images HTTP/1.1\r\nHost: a\r\n"


# ------------------------------------------------------------------------------------------------- connections


def test_connections_without_a_request_keep_nobody_out(sampler: Sampler) -> None:
    with operating(sampler, connections=8) as (address, _, _), ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(closing(connected(address, HALF_A_HEAD)))
        for path in ("/health/live", "/health/ready", "/v1/models"):
            assert httpx.get(f"{address}{path}").status_code == 200, path
        assert metric(address, "ddpm_connections_dropped_total") >= 32
        assert metric(address, "ddpm_connections") <= 8


def test_beyond_the_limit_of_requests_others_are_refused_in_our_shape_and_health_is_answered(
    sampler: Sampler,
) -> None:
    slow = SlowSampler(sampler)
    with operating(slow, connections=2) as (address, server, lines):
        inside = [in_background(lambda: httpx.post(f"{address}/v1/images", json={}, timeout=20)) for _ in range(2)]
        until(lambda: sum(server._models.scheduler.in_hand) == 2)  # a look at /metrics would be a connection more
        refused = httpx.get(f"{address}/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_connections")
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert (refused.headers["connection"], refused.headers["retry-after"]) == ("close", "1")
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert httpx.get(f"{address}{path}").status_code == 200, path
        assert 'outcome="too_many_connections"' in httpx.get(f"{address}/metrics").text
        slow.go.set()
        for thread, answers in inside:
            thread.join(20)
            assert answers[0].status_code == 200
    assert [line["status"] for line in lines.requests() if line["route"] == "/v1/models"] == [503]


def test_a_connection_that_is_used_again_is_not_idle_in_the_meantime(sampler: Sampler) -> None:
    slow = SlowSampler(sampler)
    with operating(slow, connections=2) as (address, _, _), httpx.Client(base_url=address, timeout=20) as kept:
        assert kept.get("/health/live").status_code == 200
        thread, answers = in_background(lambda: kept.post("/v1/images", json={}))
        assert slow.begun.wait(20)
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(closing(connected(address, HALF_A_HEAD)))
            slow.go.set()
            thread.join(20)
        assert answers[0].status_code == 200


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_not_http_is_answered_in_our_shape_and_counted(sampler: Sampler, sent: bytes) -> None:
    with operating(sampler) as (address, _, _):
        head, _, body = answer_to(address, sent).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"nosniff" in head
        assert json.loads(body)["error"]["code"] == "malformed_request"
        counted = 'ddpm_http_requests_total{outcome="malformed_request",route="other",status="400"} 1.0'
        assert counted in httpx.get(f"{address}/metrics").text


# ----------------------------------------------------------------------------------------------------- proxies


@pytest.mark.parametrize(
    ("trusted", "sent", "client"),
    [
        ([], "203.0.113.7", "127.0.0.1"),
        (["127.0.0.1"], "203.0.113.7", "203.0.113.7"),
        (["192.0.2.1,127.0.0.0/8"], "198.51.100.9, 203.0.113.7", "203.0.113.7"),
        (["192.0.2.1"], "203.0.113.7", "127.0.0.1"),
        (["127.0.0.1"], "a b\x1b[31m" + "x" * 9000, "a?b??31m" + "x" * 56),
    ],
)
def test_a_client_s_address_is_that_of_the_connection_unless_a_trusted_proxy_tells_it(
    sampler: Sampler, trusted: list[str], sent: str, client: str
) -> None:
    with operating(sampler, trusted_proxies=trusted) as (address, _, lines):
        answer_to(
            address,
            b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: "
            + sent.encode()
            + b"\r\n\r\n",
        )
    assert [line["client"] for line in lines.requests()] == [client]


# ------------------------------------------------------------------------------------------------------ the end


def test_a_body_that_still_comes_at_the_end_is_told_so(sampler: Sampler, caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /v1/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with operating(sampler, stop_timeout=1) as (address, server, lines), closing(connected(address, head)) as made:
        until(lambda: len(server.server_state.tasks) == 1)
        server.should_exit = True
        head, _, body = read_all(made).partition(b"\r\n\r\n")
        until(lambda: bool(lines.requests()))
    assert head.startswith(b"HTTP/1.1 503")
    assert json.loads(body)["error"]["code"] == "not_ready"
    assert [(line["status"], line["outcome"]) for line in lines.requests()] == [(503, "not_ready")]
    assert not [record for record in caplog.records if record.exc_info]


def test_before_its_end_a_server_is_not_ready_and_still_answers(sampler: Sampler) -> None:
    with operating(sampler, drain=60) as (address, server, _):
        assert httpx.get(f"{address}/health/ready").status_code == 200
        server.should_exit = True
        until(lambda: httpx.get(f"{address}/health/ready").status_code == 503)
        assert httpx.get(f"{address}/v2/health/ready").status_code == 503
        assert httpx.post(f"{address}/v1/images", json={}).status_code == 200
        server.force_exit = True


def test_all_is_over_within_the_time_that_kubernetes_gives() -> None:
    found = settings()
    assert found.drain + found.stop_timeout + 2 + 5 <= 25  # and what connections and a look at a source take
    assert found.keep_alive > 60  # longer than a proxy keeps its connections, so that it never meets a closed one


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "b"
    tiny_bundle(folder, golden=True)
    return folder


def begun(bundle: Path, *words: str, before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--bundle", str(bundle), "--device", "cpu", *words]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def ignoring_sighup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.parametrize("nohup", [False, True])
def test_sighup_stops_it_as_sigterm_does_unless_it_is_ignored(bundle: Path, nohup: bool) -> None:
    process = begun(bundle, "--port", "0", before=ignoring_sighup if nohup else None)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("serving on "))
        address = line.split()[2]
        until(lambda: httpx.get(f"{address}/health/ready").status_code == 200)
        process.send_signal(signal.SIGHUP)
        if nohup:
            time.sleep(0.3)
            assert httpx.get(f"{address}/health/ready").status_code == 200
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    finally:
        process.kill()
        process.wait(20)


def test_a_port_in_use_is_told_before_anything_is_served(bundle: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        process = begun(bundle, "--port", port)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"--port: {port} is in use" in told
    assert "--port NUMBER" in told
    assert "serving on" not in told
    assert "Traceback" not in told


def test_a_name_is_bound_at_all_its_addresses_and_an_unknown_one_is_told() -> None:
    sockets = bound("localhost", 0)
    assert sockets
    for each in sockets:
        each.close()
    with pytest.raises(DdpmError, match="--host: must be an address"):
        bound("no.such.host.invalid", 0)
    with pytest.raises(DdpmError, match=r"203\.0\.113\.1"):
        bound("203.0.113.1", 0)
