"""Clients of `ddpm serve` for the benchmarks of load: what they ask, how often, and how long they wait."""

import contextlib
import http.client
import itertools
import json
import multiprocessing as mp
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

SHORT = {"steps": 5, "sampler": "ddim", "guidance": 0}
LONG = {"n": 8, "steps": 1000, "sampler": "ddim", "guidance": 0}


STEP_TOTALS = ("ddpm_step_duration_seconds_count ", "ddpm_step_duration_seconds_sum ")  # in the order of the metrics
STALL = 0.01  # seconds that a process which asks for the processor must wait for it


class Answer(NamedTuple):
    """Status 0: the connection broke. `due` is when the request was to be sent, by `time.perf_counter`."""

    status: int
    seconds: float
    due: float


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


def capacity(url: str, seconds: float) -> list[float]:
    """Short requests a second, in each of the seconds while four clients ask one after another."""
    began, ends = time.perf_counter(), list[float]()

    def ask(number: int) -> None:
        client = Client(url)
        while time.perf_counter() - began < seconds:
            if client.post(**SHORT, seed=number)[0] == 200:
                ends.append(time.perf_counter() - began)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    counts = Counter(int(end) for end in ends)
    return [float(counts[second]) for second in range(int(seconds))]


def offered(url: str, rate: float, seconds: float, clients: int) -> list[Answer]:
    """To requests that come evenly, whether those before are answered or not."""
    began, number, found = time.perf_counter(), itertools.count(), list[Answer]()

    def ask(_: int) -> None:
        client = Client(url)
        while (at := next(number) / rate) < seconds:
            due = began + at
            time.sleep(max(0.0, due - time.perf_counter()))
            status, _, _ = client.post(**SHORT)
            found.append(Answer(status, time.perf_counter() - due, due))

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return found


def resident(pid: int) -> float:
    """MB of memory that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def probe(pipe: Connection, url: str) -> None:
    """Ask for /health/ready ten times a second until told to stop; send how long each answer took."""
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


def watch_stalls(pipe: Connection) -> None:
    """Sleep 5 ms again and again, with the highest priority that is allowed; send when it woke up `STALL` too late, and
    by how much. What is late here is the machine, or others on it, and not the server."""
    with contextlib.suppress(OSError):
        os.nice(-20)
    stalls: list[tuple[float, float]] = []
    while not pipe.poll():
        began = time.perf_counter()
        time.sleep(0.005)
        now = time.perf_counter()
        if (late := now - began - 0.005) > STALL:
            stalls.append((now, late))
    pipe.send(stalls)


def watch_steps(pipe: Connection, url: str) -> None:
    """Once a second until told to stop, what the server's metrics say: (when, seconds in steps, steps) so far."""
    client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    read: list[tuple[float, float, float]] = []
    while not pipe.poll(1.0):
        client.request("GET", "/metrics")
        text = client.getresponse().read().decode()
        told = [float(line.split()[1]) for line in text.splitlines() if line.startswith(STEP_TOTALS)]
        read.append((time.perf_counter(), *reversed(told)))
    pipe.send(read)


def _started(pipe: Connection, watch: Callable[..., None], given: tuple[Any, ...]) -> None:
    pipe.send(None)
    watch(pipe, *given)


@contextmanager
def watched(watch: Callable[..., None], *given: Any) -> Iterator[list[Any]]:
    """Run `watch` in another process during the block, which begins when its start is over and takes no processor any
    more; the list is filled with its findings at the end."""
    found: list[Any] = []
    ours, theirs = mp.Pipe()
    process = mp.get_context("spawn").Process(target=_started, args=(theirs, watch, given))
    process.start()
    theirs.close()  # so that its end is seen here
    ours.recv()
    try:
        yield found
    finally:
        ours.send(None)
        found += ours.recv()
        process.join()


def stolen() -> float:
    """Seconds that the host took from all processors of this machine so far (Linux)."""
    return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")
