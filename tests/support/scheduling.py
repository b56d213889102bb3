"""Jobs for a scheduler whose clock the jobs themselves move; who waits does so for an event."""

import threading
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import pytest

from pipelines.serving.order import Pace
from pipelines.serving.scheduler import Job, QueueFull, Scheduler, Step


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Work that takes one step after another as it is let."""

    def __init__(self) -> None:
        self.begun, self.go, self.steps = threading.Event(), threading.Semaphore(0), 0

    def __call__(self, step: Step) -> str:
        while True:
            self.begun.set()
            assert self.go.acquire(timeout=20)
            self.steps += 1
            step(1, 2)


class Held:
    """Jobs submitted while one holds the device, so that all are there when the first of them steps."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._go = threading.Event()
        self._begun = threading.Event()
        self._plug = Job(self._wait, 0, 1e9, "plug")
        scheduler.submit(self._plug)
        assert self._begun.wait(20)

    def _wait(self, step: Step) -> None:
        self._begun.set()
        assert self._go.wait(20)

    def release(self) -> None:
        self._go.set()
        self._plug.future.result(20)


def steps(clock: Clock, log: list[str], name: str, n: int, seconds: float = 1.0) -> Callable[[Step], str]:
    def work(step: Step) -> str:
        for i in range(n):
            clock.now += seconds
            log.append(name)
            step(i + 1, n)
        return name

    return work


def job(work: Callable[[Step], Any], cost: float = 1, deadline: float = 1e9, client: str = "a") -> Job:
    return Job(work, cost, deadline, client)


def measured() -> Pace:
    """A second for an evaluation."""
    pace = Pace()
    pace.measure(1, 100.0, 100, 0.0)
    return pace


def results(jobs: list[Job]) -> list[Any]:
    wait([each.future for each in jobs], 20)
    return [each.future.result(0) for each in jobs]


def full(scheduler: Scheduler) -> tuple[Gate, Job, list[Job]]:
    """A scheduler of 16 places that one client may fill to 12: one job steps, the others wait."""
    gate = Gate()
    stepping = job(gate, 4000)
    scheduler.submit(stepping)
    assert gate.begun.wait(20)
    waiting = [job(lambda step: "ran", 1) for _ in range(11)]
    for each in waiting:
        scheduler.submit(each)
    return gate, stepping, waiting


def refused(scheduler: Scheduler, client: str = "a") -> int:
    with pytest.raises(QueueFull) as caught:
        scheduler.submit(job(lambda step: None, client=client))
    return caught.value.retry_after
