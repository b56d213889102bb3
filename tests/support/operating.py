"""A real server with everything around it that an operator needs, and what it answers on a bare connection."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import httpx

from pipelines.serving.app import create_app
from pipelines.serving.server import Server, server_of
from tests.support.operated import Lines, log_lines, settings
from tests.support.served import LIMITS, running

WAITING = replace(LIMITS, waiting=64)


@contextmanager
def operating(sampler: Any, **file: Any) -> Iterator[tuple[str, Server, Lines]]:
    """A real server with the operator's middleware: its address, itself, and its log."""
    server = server_of(create_app(sampler, WAITING), settings(**file))
    with log_lines() as lines, running(server) as address:
        yield address, server, lines


def connected(address: str, data: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=10)
    made.sendall(data)
    return made


def answer_to(address: str, data: bytes) -> bytes:
    """All that comes until the server closes."""
    with closing(connected(address, data)) as made:
        return read_all(made)


def read_all(made: socket.socket) -> bytes:
    parts = []
    while part := made.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def metric(address: str, name: str) -> float:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
