"""A connection of uvicorn that waits a limited time for the head of a request, and for a client to read its answer."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedConnection(H11Protocol):
    """Closed when a request's head takes longer than `head_seconds`, or nothing is read for `write_seconds`."""

    def __init__(self, *args: Any, head_seconds: float, write_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds, self._write_seconds = head_seconds, write_seconds
        self._head: asyncio.TimerHandle | None = None
        self._write: asyncio.TimerHandle | None = None

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = self.loop.call_later(self._head_seconds, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering or self.transport.is_closing():
            self._head = _stopped(self._head)
        elif self._head is None:  # the first bytes of the next request on this connection
            self._head = self.loop.call_later(self._head_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write is None:
            self._write = self.loop.call_later(self._write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._write = _stopped(self._write)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head, self._write = _stopped(self._head), _stopped(self._write)
        super().connection_lost(exc)


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
