"""The limits of a small service, a request to it, a real server, and what `ddpm serve` would begin."""

import argparse
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from pipelines.commands import serve
from pipelines.serving import server
from pipelines.serving.hosted import Models
from pipelines.serving.service import Limits

LIMITS = Limits(cost=1000, waiting=2, at_once=1, seconds=30.0, body_bytes=4096)


def post(client: Any, **body: Any) -> httpx.Response:
    answer: httpx.Response = client.post("/v1/images", json=body)
    return answer


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The address of a real server of the application, on a free port of this machine."""
    with running(uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))) as address:
        yield address


@contextmanager
def running(made: uvicorn.Server) -> Iterator[str]:
    """The address of a server that runs in a thread, on a free port of this machine."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=made.run, kwargs={"sockets": [held]}, daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not made.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < end, "the server did not start in time"
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
        made.should_exit = True
        thread.join(30)


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--project")
    serve.add_to(parser.add_subparsers())
    return parser.parse_args(["serve", *words])


def served(monkeypatch: pytest.MonkeyPatch, *words: str) -> Models:
    """The models of a server that would begin with these words."""
    begun: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda application, settings: begun.append(application))
    serve.serve(arguments(*words))
    models: Models = begun[0].state.models
    return models
