"""Clients of `ddpm serve` for the benchmarks of load: what they ask, how often, and how long they wait."""

import http.client
import itertools
import json
import multiprocessing as mp
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SHORT = {"steps": 5, "sampler": "ddim", "guidance": 0}
LONG = {"n": 8, "steps": 1000, "sampler": "ddim", "guidance": 0}


class Client:
    """One connection, opened again where the server closed it."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._open = http.client.HTTPConnection(self._host, timeout=600)
        self._used = 0.0

    def post(self, **body: Any) -> tuple[int, bytes, float]:
        """(status, content, seconds); status 0 where the connection broke."""
        began = time.perf_counter()
        if began - self._used > 2:  # the server closes what is idle for 5 s
            self._open.close()
        try:
            self._open.request("POST", "/v1/images", json.dumps(body), {"Content-Type": "application/json"})
            answer = self._open.getresponse()
            content, self._used = answer.read(), time.perf_counter()
            return answer.status, content, self._used - began
        except (OSError, http.client.HTTPException):
            self._open.close()
            return 0, b"", time.perf_counter() - began


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def alone(url: str, count: int = 30) -> list[float]:
    client = Client(url)
    client.post(**SHORT)
    return [client.post(**SHORT, seed=i)[2] for i in range(count)]


def capacity(url: str, seconds: float) -> float:
    """Short requests a second where four clients ask one after another."""
    end, done = time.perf_counter() + seconds, itertools.count()

    def ask(number: int) -> None:
        client = Client(url)
        while time.perf_counter() < end:
            if client.post(**SHORT, seed=number)[0] == 200:
                next(done)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    return next(done) / seconds


def offered(url: str, rate: float, seconds: float, clients: int) -> list[tuple[int, float]]:
    """(status, seconds) of requests that come evenly, whether those before are answered or not."""
    began, number, found = time.perf_counter(), itertools.count(), []

    def ask(_: int) -> None:
        client = Client(url)
        while (at := next(number) / rate) < seconds:
            due = began + at
            time.sleep(max(0.0, due - time.perf_counter()))
            status, _, _ = client.post(**SHORT)
            found.append((status, time.perf_counter() - due))

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return found


def resident(pid: int) -> float:
    """MB of memory that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def probe(url: str, pipe: Connection) -> None:
    """Ask for /health/ready ten times a second until told to stop."""
    waits: list[float] = []
    host = urlsplit(url).netloc
    while not pipe.poll(0.1):
        began = time.perf_counter()
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("GET", "/health/ready")
        connection.getresponse().read()
        connection.close()
        waits.append(time.perf_counter() - began)
    pipe.send(waits)


@contextmanager
def probed(url: str) -> Iterator[list[float]]:
    waits: list[float] = []
    ours, theirs = mp.Pipe()
    process = mp.get_context("spawn").Process(target=probe, args=(url, theirs))
    process.start()
    try:
        yield waits
    finally:
        ours.send(None)
        waits += ours.recv()
        process.join()
