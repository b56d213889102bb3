"""Security headers, and clients that are too slow."""

import asyncio
import logging
from typing import Any

import pytest
from fastapi import Response
from fastapi.testclient import TestClient

from pipelines.serving.ops.assemble import operated
from pipelines.serving.ops.connection import TimedConnection
from pipelines.serving.ops.guarded import HEAD_BYTES
from tests.support.operated import client, metrics_of, settings, small_app


@pytest.mark.parametrize("path", ["/health/live", "/no", "/fails", "/metrics", "/v1/models/x"])
def test_every_answer_has_the_security_headers(path: str) -> None:
    headers = client().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] == "'self'"  # so no inline script, no other host
    assert "unsafe" not in headers["content-security-policy"]


def test_a_route_s_own_headers_stay_and_stand_once() -> None:
    app = small_app()

    @app.get("/page")
    async def page(response: Response) -> None:
        response.headers["Content-Security-Policy"] = "default-src 'none'"

    headers = TestClient(operated(app, settings(), metrics_of())).get("/page").headers
    assert headers.get_list("content-security-policy") == ["default-src 'none'"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("where", ["header", "path", "query"])
def test_a_head_is_limited_and_one_of_the_limit_is_not_refused(where: str) -> None:
    http = client()
    fixed = sum(len(name) + len(value) for name, value in http.get("/no").request.headers.raw) + len("/no")

    def status(size: int) -> int:
        text = "x" * (HEAD_BYTES - fixed - (1 if where == "header" else 0) + size)
        if where == "header":
            return http.get("/no", headers={"a": text}).status_code
        return http.get(f"/no{'?' if where == 'query' else ''}{text}").status_code

    assert (status(0), status(1)) == (404, 431)


def answers(parts: list[dict[str, Any]], **file: Any) -> list[dict[str, Any]]:
    """What the application sends for a POST whose body comes in these parts, and then stops coming."""
    sent: list[dict[str, Any]] = []
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/images",
        "raw_path": b"/v1/images",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
    }
    asyncio.run(operated(small_app(), settings(**file), metrics_of())(scope, receive, send))
    return sent


def test_a_body_that_does_not_arrive_in_time_ends_the_request() -> None:
    part = {"type": "http.request", "body": b"123", "more_body": True}
    start, body = answers([part, part], body_timeout=0.01)
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert b'"body_too_slow"' in body["body"]


def test_a_body_that_arrived_has_all_the_time_it_needs_for_its_answer() -> None:
    """The limit is of the body: what is read after it (that the client left) waits as long as it likes."""
    start, body = answers([{"type": "http.request", "body": b"123", "more_body": False}], body_timeout=0.01)
    assert (start["status"], body["body"]) == (200, b'{"bytes":3}')


class Transport:
    """Of a connection: remembers what is written, and whether it was cut."""

    def __init__(self) -> None:
        self.written, self.cut, self.closing = b"", False, False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.cut = self.closing = True

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Timers:
    """An event loop's `call_later`, on a clock of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now, self.set, self.create_task = 0.0, [], loop.create_task

    def call_later(self, seconds: float, call: Any) -> Any:
        timer = Timer(self.now + seconds, call)
        self.set.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in [timer for timer in self.set if not timer.cancelled and timer.when <= self.now]:
            timer.cancelled = True
            timer.call()


class Timer:
    def __init__(self, when: float, call: Any) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


def on_connection(story: Any) -> None:
    """Run a story of (connection, transport, timers, let tasks run) in an event loop."""
    from uvicorn import Config
    from uvicorn.server import ServerState

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        timers, transport = Timers(asyncio.get_running_loop()), Transport()
        config = Config(app, log_config=None, ws="none", timeout_keep_alive=5)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        made = TimedConnection(config, ServerState(), {}, timers, head_seconds=10, write_seconds=20)
        made.connection_made(transport)  # type: ignore[arg-type]
        await story(made, transport, timers)

    asyncio.run(run())


async def answered(connection: Any) -> None:
    """A whole request and its answer."""
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(20):
        await asyncio.sleep(0)
    assert connection.cycle.response_complete


def test_a_connection_that_sends_no_head_is_cut() -> None:
    async def story(made: Any, transport: Transport, timers: Timers) -> None:
        timers.advance(9)
        made.data_received(b"GET / HT")
        assert not transport.cut
        timers.advance(1)
        assert transport.cut

    on_connection(story)


def test_a_head_that_came_leaves_time_and_the_next_head_has_its_own() -> None:
    async def story(made: Any, transport: Transport, timers: Timers) -> None:
        await answered(made)
        timers.advance(4)
        assert not transport.closing
        made.data_received(b"GET / HTTP")
        timers.advance(9)
        assert not transport.cut
        timers.advance(1)
        assert transport.cut

    on_connection(story)


def test_a_client_that_reads_nothing_is_cut_and_one_that_reads_slowly_is_not() -> None:
    async def story(made: Any, transport: Transport, timers: Timers) -> None:
        await answered(made)
        made.pause_writing()
        timers.advance(19)
        made.resume_writing()
        made.pause_writing()
        timers.advance(19)
        assert not transport.cut
        timers.advance(1)
        assert transport.cut

    on_connection(story)


def test_a_connection_that_is_lost_leaves_no_timer() -> None:
    async def story(made: Any, transport: Transport, timers: Timers) -> None:
        made.data_received(b"GET")
        made.pause_writing()
        made.connection_lost(None)
        assert all(timer.cancelled for timer in timers.set)

    on_connection(story)
