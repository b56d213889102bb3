"""Requests that are no requests, over raw sockets: does `ddpm serve` answer or close, live on, and keep its memory?

    python benchmarks/malformed_requests.py --bundle out/bundle --requests 100000

Seeded: a valid request for each route is damaged (bytes flipped, cut off, doubled), or has a length, a header, a
method, a target or a body that no client would send. The server is a process of its own, on the loopback interface. A
status of 5xx other than 503, a server that ended and an unanswered /health/ready are failures: exit code 1.
"""

import argparse
import json
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from common import machine
from serve_clients import resident
from serve_throughput import ready, served

Chance = random.Random
ROUTES = (
    "/v1/images",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/models",
    "/v1/model",
    "/health/ready",
    "/metrics",
    "/",
)
BODIES = (
    {"n": 1, "seed": 0, "steps": 1, "sampler": "ddim", "guidance": 0},
    {"prompt": "none", "n": 1, "response_format": "b64_json"},
    {"n": 10**30, "seed": -1, "steps": "many", "label": [1], "format": None},
)
VALUES = (
    None,
    True,
    -1,
    0,
    1e308,
    10**40,
    "",
    "\x00\x7f",
    [],
    {},
    [[[]]],
    "x" * 5000,
)


def request(
    chance: Chance, method: str = "", target: str = "", headers: bytes = b"", body: bytes | None = None
) -> bytes:
    if body is None:
        body = json.dumps(chance.choice(BODIES)).encode()
    method, target = method or chance.choice(["POST", "GET"]), target or chance.choice(ROUTES)
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    length = b"" if b"ength:" in headers or b"chunked" in headers else b"Content-Length: %d\r\n" % len(body)
    return head.encode("latin-1", "replace") + headers + length + b"\r\n" + body


def flipped(chance: Chance) -> bytes:
    content = bytearray(request(chance))
    for _ in range(chance.randrange(1, 9)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def cut(chance: Chance) -> bytes:
    content = request(chance)
    return content[: chance.randrange(len(content))]


def doubled(chance: Chance) -> bytes:
    content = request(chance)
    place = chance.randrange(len(content))
    return content[:place] + content[: chance.randrange(len(content))] + content[place:]


def garbage(chance: Chance) -> bytes:
    return chance.randbytes(chance.randrange(1, 400))


def lengths(chance: Chance) -> bytes:
    told = chance.choice([b"-1", b"99999999999999999999", b"1e3", b"0x10", b"5, 6", b"", b"+3", b"4294967296"])
    return request(chance, headers=b"Content-Length: " + told + b"\r\n")


def chunks(chance: Chance) -> bytes:
    body = chance.choice(
        [b"zz\r\n", b"ffffffffffffffff\r\n", b"5\r\nab", b"-1\r\n\r\n", b"3;" + b"x" * 3000 + b"\r\nabc\r\n0\r\n\r\n"]
    )
    return request(chance, method="POST", headers=b"Transfer-Encoding: chunked\r\n", body=body)


def header(chance: Chance) -> bytes:
    line = chance.choice(
        [
            b"X" * 9000 + b": 1",
            b"A: " + b"b" * 70000,
            b": nameless",
            b"A\0: 1",
            b"A: \xff\xfe",
            b"A : 1",
            b"Host: y",
            b"Expect: 100-continue",
            b"Content-Type: multipart/form-data; boundary=" + b"-" * 300,
            b"Upgrade: h2c",
        ]
    )
    return request(chance, headers=(line + b"\r\n") * chance.choice([1, 1, 1, 150]))


def method(chance: Chance) -> bytes:
    return request(
        chance, method=chance.choice(["PUT", "DELETE", "TRACE", "CONNECT", "get", "P" * 3000, "PO ST", "\x7f"])
    )


def target(chance: Chance) -> bytes:
    text = chance.choice(
        [
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/x",
            "//x",
            "*",
            "http://[::1/",
            "/v1/images?" + "a=b&" * 3000,
            "/page/../routes.py",
            "/page/%2e%2e%2fapp.py",
            "/v1/model?model=" + "%00" * 99,
            "/" + "a/" * 4000,
            "/%ff",
            "/v1/models/" + "x" * 5000,
        ]
    )
    return request(chance, target=text)


def body(chance: Chance) -> bytes:
    told = dict(chance.choice(BODIES))
    for key in list(told):
        if chance.random() < 0.5:
            told[key] = chance.choice(VALUES)  # type: ignore[assignment]
    text = json.dumps(told).encode()
    text = chance.choice(
        [text, b"[" * chance.randrange(1, 5000), text[:-1], b"\xff" + text, b"NaN", b'{"n":1,"n":2}', b""]
    )
    return request(chance, method="POST", target=chance.choice(ROUTES[:3]), body=text)


KINDS = (flipped, cut, doubled, garbage, lengths, chunks, header, method, target, body)


def answer(address: tuple[str, int], content: bytes) -> str:
    """The status, `closed` without one, or `silent` where nothing came in 20 seconds."""
    with socket.create_connection(address, timeout=20) as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            got = b""
            while len(got) < 12 and (part := connection.recv(4096)):
                got += part
        except TimeoutError:
            return "silent"
        except OSError:
            return "closed"
    return got[9:12].decode("latin-1") if got.startswith(b"HTTP/1.1 ") else "closed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=100_000)
    args = parser.parse_args()
    found: Counter[str] = Counter()
    with served(args.bundle, [], 8) as (url, pid):
        address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)

        def asked(number: int) -> str:
            chance = Chance(number)
            kind: Callable[[Chance], bytes] = KINDS[number % len(KINDS)]
            return answer(address, kind(chance))

        def turn(numbers: range) -> float:
            with ThreadPoolExecutor(4) as pool:
                found.update(pool.map(asked, numbers, chunksize=64))
            return resident(pid)

        early = args.requests // 10
        first = turn(range(early))
        last = turn(range(early, args.requests))
        lives = Path(f"/proc/{pid}/stat").exists() and ready(url)
    print(machine("uvicorn", "fastapi"))
    print(", ".join(f"{status}: {count:,}" for status, count in sorted(found.items())))
    print(f"memory {first:.0f} MB after {early:,}, {last:.0f} MB after {args.requests:,}; ready at the end: {lives}")
    bad = [status for status in found if (status.startswith("5") and status != "503") or status == "silent"]
    return 1 if bad or not lives else 0


if __name__ == "__main__":
    sys.exit(main())
