"""A connection of uvicorn that waits a limited time for the head of a request, and for a client to read its answer."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipelines.serving.http import error_response
from pipelines.serving.ops.connections import Connections
from pipelines.serving.ops.guarded import HEAD_BYTES, HEADERS


class TimedConnection(H11Protocol):
    """Closed when a request's head takes longer than `head_seconds`, or nothing is read for `write_seconds`.

    It is one of the `connections`, and `malformed` is told of each request that is not HTTP.
    """

    def __init__(
        self,
        *args: Any,
        head_seconds: float,
        write_seconds: float,
        connections: Connections | None = None,
        malformed: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds, self._write_seconds, self._malformed = head_seconds, write_seconds, malformed
        self._among = Connections(sys.maxsize) if connections is None else connections
        self._head: asyncio.TimerHandle | None = None
        self._write: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def cut(self) -> None:
        self.transport.abort()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = self.loop.call_later(self._head_seconds, transport.abort)
        self._among.come(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering or self.transport.is_closing():
            self._head = _stopped(self._head)
        elif self._head is None:  # the first bytes of the next request on this connection
            self._head = self.loop.call_later(self._head_seconds, self.transport.abort)

    def handle_events(self) -> None:
        super().handle_events()
        if self._answering:
            self._among.begin(self)

    def on_response_complete(self) -> None:
        self._among.end(self)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._malformed()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is on its way
            self.transport.close()
            return
        message = f"the request must be HTTP/1.1, with a head of at most {HEAD_BYTES} bytes"
        answer = error_response("", 400, "malformed_request", message, headers={"Connection": "close", **HEADERS})
        head = h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request")
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write is None:
            self._write = self.loop.call_later(self._write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._write = _stopped(self._write)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.go(self)
        self._head, self._write = _stopped(self._head), _stopped(self._write)
        super().connection_lost(exc)


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
