"""A bounded queue and a few threads that sample: a server under load refuses a request at once."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ddpm_core.errors import DdpmError

log = logging.getLogger(__name__)

_FIRST_GUESS = 0.005  # seconds a unit of cost, until the first job is measured
_SMOOTHING = 0.3
_LONGEST_RETRY = 120


class QueueFull(DdpmError):
    """The queue is full; there should be room in `retry_after` seconds."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"the queue is full ({waiting} requests); try again in {retry_after} s")


class SchedulerClosed(DdpmError):
    """The server is shutting down and accepts no more work."""


class JobCancelled(DdpmError):
    """The client disconnected or the server shuts down."""


class JobTimeout(DdpmError):
    """The request took longer than allowed."""


class Job:
    """Some work and its future. The work calls `check` between steps, which raises when it should stop."""

    def __init__(self, work: Callable[[Callable[[], None]], Any], cost: int, deadline: float) -> None:
        self.future: Future[Any] = Future()
        self.cost = cost
        self._work, self._deadline = work, deadline
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop at the next step, or never begin."""
        self._cancelled.set()

    def check(self) -> None:
        if self._cancelled.is_set():
            raise JobCancelled("the request was cancelled")
        if time.monotonic() > self._deadline:
            raise JobTimeout("the request took longer than allowed; ask for fewer samples or steps, or try again later")

    def run(self) -> None:
        """Do the work; its result or its error goes to the future."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.check()
            self.future.set_result(self._work(self.check))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the future passes it on
            self.future.set_exception(error)


class Scheduler:
    """Worker threads, each with one job at a time, and their queue."""

    def __init__(self, waiting: int, at_once: int = 1) -> None:
        self._most = waiting
        self._queue: deque[Job] = deque()
        self._running: set[Job] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_per_cost = _FIRST_GUESS
        self._threads = [
            threading.Thread(target=self._work_on, name=f"sampler-{number}", daemon=True) for number in range(at_once)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether submitted jobs will run."""
        return all(thread.is_alive() for thread in self._threads) and not self._closed

    def submit(self, job: Job) -> None:
        """Queue a job, or raise QueueFull or SchedulerClosed at once."""
        with self._changed:
            if self._closed:
                raise SchedulerClosed("the server is shutting down; try again later")
            if len(self._queue) >= self._most:
                raise QueueFull(len(self._queue), self._retry_after())
            self._queue.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Accept no more jobs, cancel those queued or running, and wait for the threads."""
        with self._changed:
            self._closed = True
            for job in (*self._queue, *self._running):
                job.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work_on(self) -> None:
        while (job := self._next()) is not None:
            start = time.monotonic()
            job.run()
            self._done(job, time.monotonic() - start)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if not self._queue:
                return None
            job = self._queue.popleft()
            self._running.add(job)
            return job

    def _done(self, job: Job, seconds: float) -> None:
        with self._changed:
            self._running.remove(job)
            if not job.future.cancelled() and job.future.exception() is None:
                self._seconds_per_cost += _SMOOTHING * (seconds / max(1, job.cost) - self._seconds_per_cost)

    def _retry_after(self) -> int:
        """Seconds until the cheapest running job should be done, by the pace of earlier jobs."""
        cost = min((job.cost for job in self._running), default=0)
        return min(_LONGEST_RETRY, max(1, math.ceil(cost * self._seconds_per_cost)))
