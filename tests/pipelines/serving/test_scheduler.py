"""The queue before the sampler: bounded, cancellable, measured."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import pytest

from pipelines.serving.scheduler import Job, JobCancelled, JobTimeout, QueueFull, Scheduler, SchedulerClosed


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(waiting=2)
    yield made
    made.close()


class Gate:
    """Work that runs until it is let go, looking at `check` all the while."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, check: Callable[[], None]) -> str:
        self.begun.set()
        while not self.go.wait(0.005):
            check()
        return "done"


def job(work: Callable[[Callable[[], None]], Any], cost: int = 1, seconds: float = 60) -> Job:
    return Job(work, cost, time.monotonic() + seconds)


def test_work_is_done_in_order_and_its_errors_reach_the_caller(scheduler: Scheduler) -> None:
    seen: list[int] = []
    jobs = [job(lambda check, i=i: seen.append(i)) for i in range(2)]
    for item in jobs:
        scheduler.submit(item)
    wait([item.future for item in jobs], 10)
    assert seen == [0, 1]
    broken = job(lambda check: 1 / 0)
    scheduler.submit(broken)
    with pytest.raises(ZeroDivisionError):
        broken.future.result(10)
    after = job(lambda check: "still alive")
    scheduler.submit(after)
    assert after.future.result(10) == "still alive"


def test_as_many_jobs_run_at_once_as_there_are_workers_and_no_more() -> None:
    scheduler = Scheduler(waiting=2, at_once=2)
    gates = [Gate() for _ in range(3)]
    jobs = [job(gate, cost) for gate, cost in zip(gates, (6000, 2000, 1), strict=True)]
    try:
        for item, gate in zip(jobs[:2], gates[:2], strict=True):
            scheduler.submit(item)
            assert gate.begun.wait(10)
        scheduler.submit(jobs[2])
        assert not gates[2].begun.is_set()
        scheduler.submit(job(lambda check: None))
        with pytest.raises(QueueFull) as caught:
            scheduler.submit(job(lambda check: None))
        assert caught.value.retry_after == 10  # until the shorter of the two is done
        gates[1].go.set()
        assert jobs[1].future.result(10) == "done"
        assert gates[2].begun.wait(10)
    finally:
        scheduler.close()
    for item in (jobs[0], jobs[2]):
        with pytest.raises(JobCancelled):
            item.future.result(10)
    assert not scheduler.alive


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again(scheduler: Scheduler) -> None:
    gate = Gate()
    running = job(gate, cost=4000)
    scheduler.submit(running)
    assert gate.begun.wait(10)
    for _ in range(2):
        scheduler.submit(job(lambda check: None))
    with pytest.raises(QueueFull, match=r"\b2\b.* 20 s") as caught:
        scheduler.submit(job(lambda check: None))
    assert caught.value.retry_after == 20
    gate.go.set()
    assert running.future.result(10) == "done"


def test_who_is_refused_is_never_told_to_come_again_in_no_time() -> None:
    """A client that waits 0 seconds asks again in a loop; so it is 1 at least, also where nothing runs or costs."""
    scheduler, gate = Scheduler(waiting=0), Gate()
    try:
        with pytest.raises(QueueFull, match="in 1 s") as caught:
            scheduler.submit(job(gate))
        assert caught.value.retry_after == 1
    finally:
        scheduler.close()


@pytest.mark.parametrize(("cost", "seconds"), [(0, 1), (1, 1), (10**9, 120)])
def test_the_time_to_come_again_lies_between_a_second_and_two_minutes(cost: int, seconds: int) -> None:
    scheduler, gate = Scheduler(waiting=1), Gate()
    try:
        scheduler.submit(job(gate, cost))
        assert gate.begun.wait(10)
        scheduler.submit(job(lambda check: None))
        with pytest.raises(QueueFull) as caught:
            scheduler.submit(job(lambda check: None))
        assert caught.value.retry_after == seconds
    finally:
        scheduler.close()


def test_cancelled_work_ends_at_its_next_step_or_never_begins(scheduler: Scheduler) -> None:
    gate = Gate()
    running, waiting = job(gate), job(lambda check: "ran")
    scheduler.submit(running)
    scheduler.submit(waiting)
    assert gate.begun.wait(10)
    waiting.cancel()
    running.cancel()
    for item in (running, waiting):
        with pytest.raises(JobCancelled, match="cancelled"):
            item.future.result(10)


def test_a_future_that_was_cancelled_does_not_end_the_worker(scheduler: Scheduler) -> None:
    gate = Gate()
    scheduler.submit(job(gate))
    assert gate.begun.wait(10)
    dropped, after = job(lambda check: "ran"), job(lambda check: "ran")
    scheduler.submit(dropped)
    assert dropped.future.cancel()
    scheduler.submit(after)
    gate.go.set()
    assert after.future.result(10) == "ran"
    assert scheduler.alive


def test_work_ends_when_its_time_is_over(scheduler: Scheduler) -> None:
    late = job(Gate(), seconds=0.02)
    scheduler.submit(late)
    with pytest.raises(JobTimeout, match="longer than allowed"):
        late.future.result(10)


def test_closing_gives_up_what_runs_and_waits_and_takes_no_more() -> None:
    scheduler = Scheduler(waiting=2)
    gate = Gate()
    running, waiting = job(gate), job(lambda check: None)
    scheduler.submit(running)
    scheduler.submit(waiting)
    assert gate.begun.wait(10)
    scheduler.close()
    for item in (running, waiting):
        with pytest.raises(JobCancelled):
            item.future.result(10)
    assert not scheduler.alive
    with pytest.raises(SchedulerClosed, match="shutting down"):
        scheduler.submit(job(lambda check: None))
