"""`ddpm serve` under load, by real clients on the loopback interface: does it keep what docs/serving.md promises?

    python benchmarks/serve_load.py --bundle out/bundle --mode soak --seconds 1200

soak          even arrivals at 80 % of what is served in slow seconds (the 5th percentile of the requests a second,
              counted for a tenth of the time): errors, how long requests take beside an idle server, memory, and what
              the machine did: a process of high priority notes when it gets no processor in time, and the server's
              metrics say how long a step took in each second
overload      ten times as many as can be served: statuses, goodput, how quickly refusals and /health answer
mixed         a request of 5 steps, alone and beside some of 1,000 steps
disconnects   clients that leave in the middle: is their place free a step later?
bytes         so many samples, alone and all at the same time by requests of other samplers, steps and sizes

The server is a process of its own; so is the one that asks for /health.
"""

import argparse
import http.client
import io
import itertools
import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from common import machine
from serve_clients import (
    LONG,
    SHORT,
    STALL,
    Answer,
    Client,
    alone,
    capacity,
    offered,
    probe,
    quantile,
    resident,
    stolen,
    watch_stalls,
    watch_steps,
    watched,
)
from serve_throughput import cpu_seconds, served

SLOW = 0.05  # this quantile of what is served a second is the capacity, as a machine does not always keep its pace
COUNTED = 20.0  # seconds at least in which that is counted
MIXED = [("ddim", 1), ("ancestral", 3), ("heun", 2), ("unipc_2", 6), ("dpmpp_2m", 4)]


def soak(url: str, pid: int, args: argparse.Namespace) -> None:
    idle = alone(url)
    counts = capacity(url, 1 + max(COUNTED, args.seconds / 10))[1:]  # the first second is for the start
    mean, slow = statistics.mean(counts), quantile(counts, SLOW)
    if slow == 0:
        raise SystemExit(f"a soak needs at least one answer in nearly every second, got {mean:.1f} in the mean")
    rate = 0.8 * slow
    memory: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(args.seconds / 20):
            memory.append(resident(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = stolen()
    with watched(probe, url) as health, watched(watch_stalls) as stalls, watched(watch_steps, url) as steps:
        found = offered(url, rate, args.seconds, 32)
    taken = stolen() - before
    over.set()
    watcher.join()
    took = [each.seconds for each in found if each.status == 200]
    say_statuses(found)
    say("served a second", f"{mean:.1f} in the mean, {slow:.0f} at the 5th percentile, {min(counts):.0f} at least")
    say(
        "a request alone",
        f"{ms(statistics.median(idle))} in the median, {ms(quantile(idle, 0.99))} at the 99th percentile",
    )
    say(
        f"at {rate:.1f} requests/s, {100 * rate / mean:.0f} % of that mean",
        f"{ms(statistics.median(took))}, {ms(quantile(took, 0.99))}",
    )
    say_stalls(stalls, taken, found)
    say_steps(steps, found)
    say("memory", f"{memory[len(memory) // 5]:.0f} MB after a fifth of the time, {memory[-1]:.0f} MB at the end")
    say("/health/ready", f"{ms(max(health))} at most")


def overload(url: str, pid: int, args: argparse.Namespace) -> None:
    peak = statistics.mean(capacity(url, 5))
    spent = cpu_seconds(pid)
    with watched(probe, url) as health:
        found = offered(url, 10 * peak, args.seconds, 96)
    good = sum(each.status == 200 for each in found) / args.seconds
    say_statuses(found)
    say("offered", f"{len(found) / args.seconds:.0f} requests/s for {args.seconds:.0f} s, {10 * peak:.0f} were meant")
    say("goodput", f"{good:.1f} requests/s, {100 * good / peak:.0f} % of {peak:.1f}")
    say(
        "refusals",
        f"{ms(quantile([each.seconds for each in found if each.status != 200] or [0.0], 0.99))} at the 99th percentile",
    )
    say("/health/ready", f"{ms(quantile(health, 0.99))} at the 99th percentile, {ms(max(health))} at most")
    say("the server", f"{(cpu_seconds(pid) - spent) / args.seconds:.2f} processors")


def mixed(url: str, pid: int, args: argparse.Namespace) -> None:
    idle = alone(url)
    over = threading.Event()

    def ask_long() -> None:
        client = Client(url)
        while not over.is_set():
            client.post(**LONG)

    threads = [threading.Thread(target=ask_long, daemon=True) for _ in range(args.long)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    end, beside, client = time.perf_counter() + args.seconds, [], Client(url)
    while time.perf_counter() < end:
        status, _, seconds = client.post(**SHORT, seed=len(beside))
        if status != 200:
            raise SystemExit(f"a short request was answered {status}")
        beside.append(seconds)
        time.sleep(0.2)
    over.set()
    for name, values in (("alone", idle), (f"beside {args.long} long ones", beside)):
        times = ", ".join(f"{ms(quantile(values, share))}" for share in (0.5, 0.95, 0.99))
        say(f"5 steps {name}", f"{times} (median, 95th and 99th percentile of {len(values)})")
    say("times as long", f"{statistics.median(beside) / statistics.median(idle):.2f} in the median")


def disconnects(url: str, pid: int, args: argparse.Namespace) -> None:
    """The server has two places: what is not freed is seen by a 429."""
    dice, kept, found = random.Random(0), Client(url), list[Answer]()
    idle = statistics.median(alone(url))
    end = time.perf_counter() + args.seconds
    for number in range(args.count):
        if time.perf_counter() > end:
            break
        leaving = [http.client.HTTPConnection(urlsplit(url).netloc) for _ in range(2)]
        for connection in leaving:
            connection.request("POST", "/v1/images", json.dumps(LONG), {"Content-Type": "application/json"})
        time.sleep(dice.uniform(0.01, 0.06))
        for connection in leaving:
            connection.close()
        time.sleep(args.step)
        status, _, seconds = kept.post(**SHORT, seed=number)
        found.append(Answer(status, seconds, 0.0))
    say_statuses(found)
    say("clients that left", f"{2 * len(found)}, two at a time; a step of theirs takes less than {ms(args.step)}")
    say(
        "a request after them",
        f"{ms(statistics.median(each.seconds for each in found))} in the median, alone {ms(idle)}",
    )


def bytes_alone_and_together(url: str, pid: int, args: argparse.Namespace) -> None:
    from pipelines.sampling.bundle_sampler import Sampler

    sampler = Sampler.open(args.bundle, "cpu")
    different, made, again, largest = Counter[str](), itertools.count(), itertools.count(), 0
    dice, bodies, first = random.Random(0), [], 0
    while first < args.samples:
        (kind, steps), n = dice.choice(MIXED), dice.randint(1, 24)
        labels = [dice.choice([None, 0, 1]) for _ in range(n)]
        bodies.append({"n": n, "seed": first, "labels": labels, "sampler": kind, "steps": steps, "guidance": 0.5})
        first += n

    def ask(body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        client = Client(url)
        while True:
            status, content, _ = client.post(**body, format="npz")
            if status == 200:
                return body, content
            if status not in (429, 504):  # no place now, or late on a machine that became slower: asked for again
                raise SystemExit(f"answered {status}: {content.decode()}")
            next(again)
            time.sleep(0.2)

    with ThreadPoolExecutor(12) as pool:
        for body, content in pool.map(ask, bodies):
            recipe = sampler.recipe(body["sampler"], body["steps"], body["guidance"])
            images = np.load(io.BytesIO(content))["images"]
            for i, label in enumerate(body["labels"]):
                own = sampler.sample(recipe, [body["seed"] + i], {"label": [label]})[0]
                next(made)
                if own.tobytes() != images[i].tobytes():
                    different[body["sampler"]] += 1
                    largest = max(largest, int(np.abs(own.astype(int) - images[i]).max()))
    say("samples", f"{next(made)} in {len(bodies)} requests, twelve at a time, each made alone too")
    say("asked for again", f"{next(again)} times, after 429 or 504")
    say("different", f"{sum(different.values())}, by at most {largest} levels")


def say(what: str, found: str) -> None:
    print(f"| {what} | {found} |", flush=True)


def say_stalls(stalls: list[tuple[float, float]], taken: float, found: list[Answer]) -> None:
    """And the answers to requests that no stall can have touched: none in the second before they were due or after."""
    say(
        "the machine",
        f"{len(stalls)} stalls of more than {ms(STALL)}, {sum(late for _, late in stalls):.1f} s together, "
        f"{ms(max((late for _, late in stalls), default=0.0))} at most; {taken:.1f} s taken by the host",
    )
    ends = np.sort([at for at, _ in stalls]) if stalls else np.array([-np.inf])
    due = np.array([each.due for each in found])
    before = ends[np.maximum(np.searchsorted(ends, due) - 1, 0)]
    after = ends[np.minimum(np.searchsorted(ends, due), len(ends) - 1)]
    apart = (np.abs(due - before) > 1) & (np.abs(due - after) > 1)
    rest = [each for each, is_apart in zip(found, apart, strict=True) if is_apart]
    took = [each.seconds for each in rest if each.status == 200] or [0.0]
    say("a second from any stall", f"{ms(statistics.median(took))}, {ms(quantile(took, 0.99))}")
    say_statuses(rest)


def say_steps(read: list[tuple[float, float, float]], found: list[Answer]) -> None:
    """How long a step of the server took in each second, in those of the slowest answers too: whether the processor
    itself was slower then."""
    when, seconds, count = np.array(read).T
    took = np.diff(seconds) / np.maximum(1, np.diff(count))
    ends = np.array([each.due + each.seconds for each in found])
    inside = (ends > when[0]) & (ends < when[-1])
    beside = took[np.searchsorted(when, ends[inside]) - 1]
    waits = np.array([each.seconds for each in found])[inside]
    slowest = waits >= np.quantile(waits, 0.99)
    parts = (np.median(took), took.max(), np.median(beside[slowest]), np.median(beside[~slowest]))
    median, most, slow, rest = (f"{1000 * part:.2f} ms" for part in parts)
    say("a step, by seconds", f"{median} in the median, {most} at most")
    say("a step beside answers", f"{slow} beside the slowest 1 %, {rest} beside the others")


def say_statuses(found: list[Answer]) -> None:
    counts = Counter(each.status for each in found)
    say("answers", ", ".join(f"{count:,} x {status or 'broken'}" for status, count in sorted(counts.items())))


def ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


MODES: dict[str, tuple[Callable[[str, int, argparse.Namespace], None], list[str]]] = {  # with the server's options
    "soak": (soak, []),
    "overload": (overload, []),
    "mixed": (mixed, ["--max-cost", "1000000", "--timeout", "3600"]),
    "disconnects": (disconnects, ["--max-cost", "1000000", "--timeout", "3600", "--queue", "1"]),
    "bytes": (bytes_alone_and_together, ["--timeout", "300"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--mode", choices=list(MODES), required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--at-once", default="1", help="of the server")
    parser.add_argument("--batch", default="1", help="of the server: requests that share each call of the network")
    parser.add_argument("--long", type=int, default=3, help="mixed: long requests at the same time")
    parser.add_argument("--count", type=int, default=500, help="disconnects: pairs of clients that leave")
    parser.add_argument("--step", type=float, default=0.2, help="disconnects: seconds that a step takes at most")
    parser.add_argument("--samples", type=int, default=10_000, help="bytes: how many")
    args = parser.parse_args()
    print(f"{args.mode}: {machine('onnxruntime-gpu', 'numpy')}")
    run, options = MODES[args.mode]
    options = ["--threads", "1", "--at-once", args.at_once, "--batch", args.batch, *options]
    with served(args.bundle, options, 16) as (url, pid):
        run(url, pid, args)


if __name__ == "__main__":
    main()
