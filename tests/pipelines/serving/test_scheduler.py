"""The device shared step by step. Time is a number that the works themselves move; who waits does so for an event."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import wait

import pytest

from pipelines.serving.order import Pace
from pipelines.serving.scheduler import (
    Job,
    JobCancelled,
    JobTimeout,
    QueueFull,
    Scheduler,
    SchedulerClosed,
    Step,
    TooLong,
)
from tests.support.scheduling import Clock, Gate, Held, full, job, measured, refused, results, steps


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock) -> Iterator[Scheduler]:
    made = Scheduler(waiting=15, clock=clock)
    yield made
    made.close()


def test_results_and_errors_reach_the_caller_and_the_next_job_runs(scheduler: Scheduler) -> None:
    fine, broken, after = job(lambda step: "fine"), job(lambda step: 1 / 0), job(lambda step: "after")
    for each in (fine, broken, after):
        scheduler.submit(each)
    assert (fine.future.result(20), after.future.result(20)) == ("fine", "after")
    with pytest.raises(ZeroDivisionError):
        broken.future.result(20)
    assert scheduler.alive


@pytest.mark.parametrize("client", ["a", "b"])
def test_a_short_job_joins_at_the_next_step_of_a_long_one(scheduler: Scheduler, clock: Clock, client: str) -> None:
    log: list[str] = []
    short = job(steps(clock, log, "short", 5, 0.01), 5, client=client)

    def long_work(step: Step) -> None:
        for i in range(1000):
            clock.now += 0.01
            log.append("long")
            if i == 9:
                scheduler.submit(short)
            step(i + 1, 1000)

    long = job(long_work, 1000)
    scheduler.submit(long)
    results([short, long])
    assert log == ["long"] * 10 + ["short"] * 5 + ["long"] * 990
    assert (long.waited, short.waited) == (0, 0)


def test_clients_take_turns_whatever_the_number_of_their_jobs(scheduler: Scheduler, clock: Clock) -> None:
    log: list[str] = []
    held = Held(scheduler)
    jobs = [job(steps(clock, log, "many", 10), 10, client="many") for _ in range(8)]
    jobs.append(job(steps(clock, log, "one", 20), 30, client="one"))
    for each in jobs:
        scheduler.submit(each)
    held.release()
    results(jobs)
    assert log[:40].count("one") == 20
    assert max(abs(log[:n].count("one") - log[:n].count("many")) for n in range(40)) <= 1
    assert log[40:] == ["many"] * 60


def test_equals_are_exchanged_after_a_turn_and_not_after_every_small_step(scheduler: Scheduler, clock: Clock) -> None:
    log: list[str] = []
    held = Held(scheduler)
    jobs = [job(steps(clock, log, name, 40, 0.004), 40, client=name) for name in "xy"]
    for each in jobs:
        scheduler.submit(each)
    held.release()
    results(jobs)
    changes = sum(one != other for one, other in itertools.pairwise(log))
    assert 10 <= changes <= 20  # 80 steps of 4 ms in turns of 20 ms or a little more


def test_a_job_near_its_deadline_is_finished_before_it(scheduler: Scheduler, clock: Clock) -> None:
    """Ten jobs of a second would be next, but a long one that has 28 s for its 20 s would be late behind them."""
    log: list[str] = []
    pace = measured()
    held = Held(scheduler)
    long = Job(steps(clock, log, "long", 20), 20, 28.0, "a", pace=pace)
    jobs = [Job(steps(clock, log, "short", 1), 1, 1000.0, "a", pace=pace) for _ in range(10)]
    for each in (long, *jobs):
        scheduler.submit(each)
    held.release()
    results([long, *jobs])
    assert "".join(name[0] for name in log).rindex("l") < 28
    assert log[0] == "short"  # it goes first no sooner than it must


def test_as_many_jobs_step_at_once_as_were_allowed(clock: Clock) -> None:
    scheduler = Scheduler(waiting=2, at_once=2, clock=clock)
    together = threading.Barrier(2)

    def pair(step: Step) -> None:
        for i in range(3):
            together.wait(20)  # passes only where two step at the same time
            step(i + 1, 3)

    jobs = [job(pair) for _ in range(2)]
    try:
        for each in jobs:
            scheduler.submit(each)
        results(jobs)
        gates = [Gate() for _ in range(3)]
        more = [job(gate, client=str(i)) for i, gate in enumerate(gates)]
        for each in more:
            scheduler.submit(each)
        assert gates[0].begun.wait(20)
        assert gates[1].begun.wait(20)
        assert scheduler.in_hand == (2, 1)
        assert more[2].waited is None
        more[0].cancel()
        gates[0].go.release()
        assert gates[2].begun.wait(20)
        for each in more[1:]:
            each.cancel()
        for gate in gates:
            gate.go.release()
    finally:
        scheduler.close()


def test_a_full_queue_refuses_at_once_and_keeps_places_for_other_clients(scheduler: Scheduler) -> None:
    gate, stepping, _ = full(scheduler)
    assert refused(scheduler) == 1
    for i in range(4):
        scheduler.submit(job(lambda step: "ran", client=f"other {i}"))
    assert refused(scheduler, "one more") == 1
    stepping.cancel()
    gate.go.release()


def test_who_comes_again_when_told_is_accepted_and_who_comes_sooner_is_not(scheduler: Scheduler, clock: Clock) -> None:
    """Twelve jobs of 10 s, which all hold: the first one is done after 10 s, and a place is free."""
    pace = measured()
    log: list[str] = []
    answers: list[tuple[float, bool]] = []

    def ask() -> int | None:
        try:
            scheduler.submit(Job(lambda step: None, 1, clock.now + 1e6, "a", pace=pace))
        except QueueFull as error:
            answers.append((clock.now, False))
            return error.retry_after
        answers.append((clock.now, True))
        return None

    held = Held(scheduler)

    def first(step: Step) -> None:
        for i in range(10):
            clock.now += 1
            step(i + 1, 10)
            if i < 9:
                ask()

    jobs = [Job(first, 10, 1e6, "a", pace=pace)]
    jobs += [Job(steps(clock, log, "next", 10), 10 + i, 1e6, "a", pace=pace) for i in range(1, 12)]

    def last(step: Step) -> None:
        ask()

    jobs[1] = Job(last, 10.5, 1e6, "a", pace=pace)
    for each in jobs:
        scheduler.submit(each)
    told = ask()
    held.release()
    results(jobs)
    assert told == 10
    assert [accepted for now, accepted in answers if now < told] == [False] * 10
    assert answers[-1] == (10, True)


def test_nobody_is_told_to_come_again_in_no_time(clock: Clock) -> None:
    """A client that waits 0 seconds asks again in a loop."""
    scheduler = Scheduler(waiting=0, clock=clock)
    gate = Gate()
    running = job(gate, 0)
    scheduler.submit(running)
    assert refused(scheduler) == 1
    running.cancel()
    gate.go.release()
    scheduler.close()


def test_work_that_cannot_end_in_time_is_refused_before_it_begins(scheduler: Scheduler) -> None:
    pace = measured()
    with pytest.raises(TooLong, match="about 90 s, and more than 100 s"):
        scheduler.submit(Job(lambda step: None, 90, 100.0, pace=pace))
    scheduler.submit(fits := Job(lambda step: None, 70, 100.0, pace=pace))
    results([fits])


def test_the_pace_is_measured_by_what_runs(scheduler: Scheduler, clock: Clock) -> None:
    pace = Pace()
    scheduler.submit(ran := Job(steps(clock, [], "x", 4, 0.5), 8, 1e6, rows=2, pace=pace))
    results([ran])
    assert pace.seconds(2) == pytest.approx(0.25)
    assert ran.left == 0


def test_a_cancelled_job_ends_at_its_next_step_and_frees_its_place(scheduler: Scheduler) -> None:
    gate, stepping, waiting = full(scheduler)
    waiting[3].cancel()  # has not begun: its place is free at once
    with pytest.raises(JobCancelled, match="cancelled"):
        waiting[3].future.result(0)
    scheduler.submit(after := job(lambda step: "ran"))
    stepping.cancel()
    before = gate.steps
    gate.go.release()
    with pytest.raises(JobCancelled, match="cancelled"):
        stepping.future.result(20)
    assert gate.steps == before + 1
    assert set(results([after, *waiting[:3], *waiting[4:]])) == {"ran"}


def test_a_job_that_waits_between_its_steps_is_cancelled_at_once(scheduler: Scheduler) -> None:
    gate, shorter, pace = Gate(), Gate(), measured()
    scheduler.submit(long := Job(gate, 1000, 1e9, "a", pace=pace))
    assert gate.begun.wait(20)
    scheduler.submit(short := Job(shorter, 1, 1e9, "a", pace=pace))
    gate.go.release()
    assert shorter.begun.wait(20)  # the long one waits for its next turn
    long.cancel()
    with pytest.raises(JobCancelled):
        long.future.result(20)
    assert scheduler.in_hand == (1, 0)
    short.cancel()
    shorter.go.release()


def test_a_job_cancelled_before_it_is_submitted_never_begins(scheduler: Scheduler) -> None:
    dropped = job(lambda step: "ran")
    dropped.cancel()
    scheduler.submit(dropped)
    with pytest.raises(JobCancelled):
        dropped.future.result(20)


def test_work_ends_when_its_time_is_over(scheduler: Scheduler, clock: Clock) -> None:
    log: list[str] = []
    late = job(steps(clock, log, "late", 100), 1, deadline=2.5)
    scheduler.submit(late)
    with pytest.raises(JobTimeout, match="longer than allowed"):
        late.future.result(20)
    assert len(log) == 3


def test_drained_it_finishes_what_it_can_in_the_time_and_accepts_no_more(scheduler: Scheduler, clock: Clock) -> None:
    log: list[str] = []
    held = Held(scheduler)
    short = Job(steps(clock, log, "short", 10), 10, 1e9, pace=measured())
    long = Job(steps(clock, log, "long", 100), 100, 1e9, pace=measured())
    soon = Job(steps(clock, log, "soon", 100), 200, 900.0, pace=measured())
    for each in (short, long, soon):
        scheduler.submit(each)
    scheduler.drain(20)
    with pytest.raises(SchedulerClosed, match="shutting down"):
        scheduler.submit(job(lambda step: None))
    assert not scheduler.alive
    held.release()
    assert short.future.result(20) == "short"
    with pytest.raises(SchedulerClosed, match="could not finish"):
        long.future.result(20)
    with pytest.raises(SchedulerClosed, match="could not finish"):
        soon.future.result(20)
    assert clock.now <= 22


def test_closing_gives_up_what_steps_and_waits(scheduler: Scheduler) -> None:
    gate, stepping, waiting = full(scheduler)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    wait([each.future for each in waiting], 20)
    gate.go.release()
    closing.join(20)
    assert not closing.is_alive()
    for each in (stepping, *waiting):
        with pytest.raises(JobCancelled):
            each.future.result(0)
    with pytest.raises(SchedulerClosed, match="shutting down"):
        scheduler.submit(job(lambda step: None))
