"""Requests that share the device step by step: each runs in a thread of its own and goes on when it has the turn.

A job calls `step` after every step of its sampling; there it hands the turn on, where another comes first (order.py).
So any sampler, rollout or edit is scheduled by its own unchanged loop, and its bytes are those it has alone.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from ddpm_core.errors import DdpmError
from pipelines.serving.order import Pace, Shares, Work, next_of, seconds_to_place, seconds_to_room, too_long

_TURN = 0.02  # seconds before the turn goes to an equal; who comes first gets it at the next step

Step = Callable[[int, int], None]
"""(steps done, steps in all), called by the work after each step; it waits for the next turn, or raises to end it."""


class QueueFull(DdpmError):
    """There is no room; there should be in `retry_after` seconds."""

    def __init__(self, in_hand: int, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"too much is asked for already ({in_hand} requests); try again in {retry_after} s")


class TooLong(DdpmError):
    """The work could not end in time even if there were no other."""


class SchedulerClosed(DdpmError):
    """The server is shutting down and accepts no more work, or cannot finish this before it stops."""


class JobCancelled(DdpmError):
    """The client disconnected or the server shuts down."""


class JobTimeout(DdpmError):
    """The request took longer than allowed."""


class Job(Work):
    """Some work and its future. `work(step)` makes `cost` evaluations, in network calls of at most `rows` data.

    `pace` is that of the network, which all jobs of it share.
    """

    def __init__(
        self,
        work: Callable[[Step], Any],
        cost: float,
        deadline: float,
        client: str = "",
        rows: int = 1,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(cost, deadline, client, rows, Pace() if pace is None else pace)
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # who gives it up calls `cancel`
        self.waited: float | None = None
        """Seconds until its first turn."""
        self.work, self.whole, self.done = work, cost, 0.0  # `done`: the share of its steps
        self.turn = threading.Semaphore(0)
        self.submitted = self.since = self.until = 0.0  # when its turn began, or was last counted, and may end
        self.cancelled = self.stopping = False
        self._scheduler: Scheduler | None = None

    def cancel(self) -> None:
        """Stop at the next step, or at once while it waits."""
        if self._scheduler is None:
            self.cancelled = True
        else:
            self._scheduler.cancel(self)

    def of(self, scheduler: "Scheduler", now: float) -> None:
        self._scheduler, self.submitted = scheduler, now

    def must_go_on(self, now: float) -> None:
        """Raise where it must not."""
        if self.cancelled:
            raise JobCancelled("the request was cancelled")
        if now > self.deadline and self.stopping:
            raise SchedulerClosed("the server is shutting down and could not finish the request; try again later")
        if now > self.deadline:
            raise JobTimeout("the request took longer than allowed; ask for fewer samples or steps, or try again later")


class Scheduler:
    """The jobs in hand, of which `at_once` take a step at the same time while at most `waiting` others wait."""

    def __init__(
        self,
        waiting: int,
        at_once: int = 1,
        clock: Callable[[], float] = time.monotonic,
        on_step: Callable[[float], None] | None = None,
    ) -> None:
        self._on_step = on_step
        self._places, self._at_once, self._clock = waiting + at_once, at_once, clock
        self._jobs: list[Job] = []
        self._stepping: list[Job] = []
        self._shares = Shares()
        self._lock = threading.Lock()
        self._closed = self._came = False
        self._threads = ThreadPoolExecutor(self._places, "sampler")

    @property
    def alive(self) -> bool:
        """Whether jobs are accepted."""
        return not self._closed

    @property
    def in_hand(self) -> tuple[int, int]:
        """How many jobs take a step, and how many wait for their turn."""
        with self._lock:
            return len(self._stepping), len(self._jobs) - len(self._stepping)

    def submit(self, job: Job) -> None:
        """Accept a job, or raise QueueFull, TooLong or SchedulerClosed at once."""
        with self._lock:
            now = self._clock()
            self._must_be_open()
            if too_long(job, now):
                raise TooLong(
                    f"the request would take about {math.ceil(job.left)} s, and more than {job.deadline - now:.0f} s "
                    "are not allowed; ask for fewer samples or steps"
                )
            self._must_have(seconds_to_room(job, self._jobs, self._shares, self._places, now, self._at_once))
            others = {other.client for other in self._jobs}
            if job.client not in others:
                self._shares.come(job.client, others)
            job.of(self, now)
            self._jobs.append(job)
            self._came = True
            if len(self._stepping) < self._at_once:
                self._give_turn(job, now)

    def must_have_place(self, client: str) -> None:
        """Raise what `submit` would raise for any job of this client, to refuse a request before it is read."""
        with self._lock:
            self._must_be_open()
            self._must_have(seconds_to_place(client, self._jobs, self._shares, self._places, self._at_once))

    def _must_be_open(self) -> None:
        if self._closed:
            raise SchedulerClosed("the server is shutting down; try again later")

    def _must_have(self, seconds_to_wait: float) -> None:
        if seconds_to_wait > 0 or len(self._jobs) >= self._places:
            raise QueueFull(len(self._jobs), max(1, math.ceil(seconds_to_wait)))

    def cancel(self, job: Job) -> None:
        with self._lock:
            waits = job in self._jobs and job not in self._stepping
            job.cancelled = True
            if waits:  # its place is free now
                self._remove(job)
        if waits and job.waited is not None:
            job.turn.release()  # its thread raises
        elif waits:
            job.future.set_exception(JobCancelled("the request was cancelled"))

    def drain(self, seconds: float) -> None:
        """Accept no more jobs; those in hand have so long to end."""
        with self._lock:
            self._closed = True
            end = self._clock() + seconds
            for job in self._jobs:
                job.stopping = job.stopping or end < job.deadline
                job.deadline = min(end, job.deadline)

    def close(self) -> None:
        """Accept no more jobs, cancel those in hand, and wait for the threads."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        self._threads.shutdown()

    def _run(self, job: Job) -> None:
        """In a thread: a job from its first turn to its end."""
        try:
            job.must_go_on(self._clock())
            settle = partial(job.future.set_result, job.work(partial(self._step, job)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the future passes it on
            settle = partial(job.future.set_exception, error)
        with self._lock:
            now = self._clock()
            if job in self._jobs:
                self._shares.charge(job.client, now - job.since)
                self._remove(job)
            if job in self._stepping:
                self._stepping.remove(job)
                if waiting := self._waiting():
                    self._give_turn(waiting[next_of(waiting, self._shares, now, self._at_once)], now)
        settle()

    def _step(self, job: Job, done: int, total: int) -> None:
        """In the job's thread, after a step: go on, or hand the turn on and wait for the next."""
        with self._lock:
            now = self._clock()
            self._count(job, done / total, now)
            job.must_go_on(now)
            if done == total or (now < job.until and not self._came):
                return
            self._came = False
            ready = [job, *self._waiting()]
            following = ready[next_of(ready, self._shares, now, self._at_once)]
            if following is job:
                job.until = now + _TURN
                return
            self._stepping.remove(job)
            self._give_turn(following, now)
        job.turn.acquire()
        job.must_go_on(self._clock())

    def _count(self, job: Job, done: float, now: float) -> None:
        """The step's time, for its client and for the pace of its network."""
        seconds, cost = now - job.since, job.whole * (done - job.done)
        self._shares.charge(job.client, seconds)
        job.pace.measure(job.rows, seconds, cost, now)
        if self._on_step is not None:
            self._on_step(seconds)
        job.since, job.done, job.cost = now, done, job.whole * (1 - done)

    def _waiting(self) -> list[Job]:
        return [job for job in self._jobs if job not in self._stepping]

    def _give_turn(self, job: Job, now: float) -> None:
        self._stepping.append(job)
        job.since, job.until = now, now + _TURN
        if job.waited is None:
            job.waited = now - job.submitted
            self._threads.submit(self._run, job)
        else:
            job.turn.release()

    def _remove(self, job: Job) -> None:
        self._jobs.remove(job)
        others = {other.client for other in self._jobs}
        if job.client not in others:
            self._shares.go(job.client, others)
