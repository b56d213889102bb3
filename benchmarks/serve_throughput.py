"""Pictures a second of `ddpm serve` under so many clients at once, one picture a request, by requests sampled at once.

Each way is measured several times, the ways in turn, each time by a server of its own; every picture must have the
bytes of the first one of its seed. The CPU seconds are the server's, read from /proc (Linux).

    python benchmarks/serve_throughput.py --bundle out/bundle
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

WAYS = {  # options of `ddpm serve`
    "one at a time, one thread": ["--threads", "1", "--at-once", "1"],
    "one at a time, two threads": ["--threads", "2", "--at-once", "1"],
    "two at once, one thread each": ["--threads", "1", "--at-once", "2"],
}


@contextmanager
def served(bundle: Path, options: list[str], clients: int) -> Iterator[tuple[str, int]]:
    """A server on a free port, once it takes requests, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--quiet", "--bundle", str(bundle), "--device", "cpu"]
    process = subprocess.Popen([*command, "--port", str(port), "--queue", str(clients), *options])
    url = f"http://127.0.0.1:{port}"
    try:
        while not ready(url):
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def cpu_seconds(pid: int) -> float:
    """Of a process since it began, in itself and in the kernel."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def measured(url: str, pid: int, clients: int, requests: int, known: dict[int, bytes]) -> tuple[float, float, float]:
    """Pictures a second, the median of the seconds that a client waits for one, and CPU seconds a picture."""
    waits: list[float] = []

    def client(number: int) -> None:
        with httpx.Client(base_url=url, timeout=300) as session:
            for turn in range(requests):
                seed = number * requests + turn
                began = time.perf_counter()
                answer = session.post("/v1/images", json={"label": seed % 10, "seed": seed}).raise_for_status()
                waits.append(time.perf_counter() - began)
                if known.setdefault(seed, answer.content) != answer.content:
                    raise SystemExit(f"the picture of seed {seed} came out otherwise")

    httpx.post(f"{url}/v1/images", json={}, timeout=300).raise_for_status()
    began, spent = time.perf_counter(), cpu_seconds(pid)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    seconds, pictures = time.perf_counter() - began, clients * requests
    return pictures / seconds, statistics.median(waits), (cpu_seconds(pid) - spent) / pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=12, help="of each client")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    known: dict[int, bytes] = {}
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for _ in range(args.repeats):
        for way, options in WAYS.items():
            with served(args.bundle, options, args.clients) as (url, pid):
                found[way].append(measured(url, pid, args.clients, args.requests, known))
    for way, runs in found.items():
        rates, waits, spent = zip(*runs, strict=True)
        print(
            f"{way:<30} {max(rates):6.1f} pictures/s at best, {statistics.median(rates):6.1f} in the median; "
            f"a client waits {min(waits):.2f} s at best; {1000 * min(spent):.0f} CPU ms a picture at best"
        )


if __name__ == "__main__":
    main()
