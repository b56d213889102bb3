"""How many connections are open, and which of them make room for others."""

from collections import Counter
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.serving.http import error_response
from pipelines.serving.ops.facts import current
from pipelines.serving.ops.observed import PROBES

RESERVE = 16
"""Connections beyond the limit: for those who ask for health and metrics, and to tell others to come again."""


class Connection(Protocol):
    """What is asked of a connection."""

    @property
    def address(self) -> str:
        """Of its client."""

    def cut(self) -> None:
        """Close it now."""


class Connections:
    """The open connections, of which `most` may have a request in hand.

    Beyond that a new connection closes one without a request in hand, which is idle or has sent half a head: of the
    address that has most of those, the one that has waited longest. So nobody keeps others out by connections alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # without a request in hand, in the order in which that began
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether a request is to be refused."""
        return len(self._open) > self._most

    def come(self, connection: Connection) -> None:
        self._open.add(connection)
        if self.full:
            if self._idle:
                self._drop(self._first_to_go())
            elif len(self._open) > self._most + RESERVE:
                self._drop(connection)
                return
        self._idle[connection] = None

    def begin(self, connection: Connection) -> None:
        """It has a request in hand."""
        self._idle.pop(connection, None)

    def end(self, connection: Connection) -> None:
        """It has none any more."""
        if connection in self._open:
            self._idle.pop(connection, None)
            self._idle[connection] = None

    def go(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _first_to_go(self) -> Connection:
        count = Counter(each.address for each in self._idle)
        return max(self._idle, key=lambda each: count[each.address])  # the first of several: who has waited longest

    def _drop(self, connection: Connection) -> None:
        self.go(connection)
        self.dropped += 1
        connection.cut()


class NotCrowded:
    """503 for requests on connections beyond the limit; health and metrics are answered."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        self._app, self._connections = app, connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or not self._connections.full:
            await self._app(scope, receive, send)
            return
        current().outcome = code = "too_many_connections"
        message = "too many requests are in hand; try again in a moment"
        headers = {"Connection": "close", "Retry-After": "1"}
        await error_response(scope["path"], 503, code, message, headers=headers)(scope, receive, send)
