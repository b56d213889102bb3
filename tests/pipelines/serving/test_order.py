"""Who takes the next step, by closed forms and against a simulation of a device that takes the steps one by one."""

import random
from collections.abc import Sequence

import pytest

from pipelines.serving.order import Pace, Shares, Work, next_of, seconds_to_ends, seconds_to_room, too_long

FAR = 1e9


def pace(seconds: float, rows: int = 1, now: float = 0.0) -> Pace:
    made = Pace()
    made.measure(rows, seconds * 100, 100, now)
    return made


def work(left: float, client: str = "", deadline: float = FAR, unit: float = 1.0) -> Work:
    return Work(left / unit, deadline, client, 1, pace(unit))


def simulate(in_hand: Sequence[Work], shares: Shares, ends: int, step: float) -> float:
    """The time at which so many have ended, where the device takes steps of this length in the order of `next_of`."""
    jobs, now = list(in_hand), 0.0
    while len(jobs) > len(in_hand) - ends:
        chosen = jobs[next_of(jobs, shares, now, 1)]
        given = min(step, chosen.left)
        now += given
        shares.charge(chosen.client, given)
        chosen.cost -= given / chosen.pace.seconds(1)
        if chosen.left < 1e-9:
            jobs.remove(chosen)
    return now


def test_of_one_client_the_shortest_rest_is_next() -> None:
    ready = [work(1000, "a"), work(5, "a"), work(300, "a")]
    assert next_of(ready, Shares(), 0, 1) == 1


def test_who_had_least_is_next_however_long_the_work() -> None:
    shares = Shares()
    shares.charge("a", 2.0)
    shares.charge("b", 1.0)
    assert next_of([work(1, "a"), work(1000, "b")], shares, 0, 1) == 1


@pytest.mark.parametrize(("deadline", "goes_first"), [(111.2, False), (109.8, True)])
def test_work_that_would_be_late_behind_all_others_goes_first(deadline: float, goes_first: bool) -> None:
    """100 s of work need 110 s with the caution of a tenth; the short one would else be next."""
    long, short = work(100, "a", deadline), work(1, "a")
    assert (next_of([short, long], Shares(), 0, 1) == 1) == goes_first
    # At two steps at once twice the work is done in the time.
    assert (next_of([short, long, work(100, "a", deadline)], Shares(), 0, 2) == 1) == goes_first


def test_what_can_end_in_time_goes_before_what_cannot_and_what_is_late_is_ended_first() -> None:
    hopeless, fine, late = work(100, "a", 99), work(10, "b", 1000), work(5, "b", -1)
    shares = Shares()
    shares.charge("b", 50.0)
    assert next_of([hopeless, fine], shares, 0, 1) == 1
    assert next_of([hopeless, fine, late], shares, 0, 1) == 2
    assert next_of([hopeless], shares, 0, 1) == 0


def test_clients_share_evenly_whatever_the_number_and_length_of_their_jobs() -> None:
    shares = Shares()
    jobs = [work(50, "many") for _ in range(8)] + [work(400, "one")]
    for _ in range(300):
        chosen = jobs[next_of(jobs, shares, 0, 1)]
        shares.charge(chosen.client, 1.0)
        chosen.cost -= 1.0
        if not chosen.left:
            jobs.remove(chosen)
    assert abs(shares.had("many") - shares.had("one")) <= 1.0


def test_who_comes_after_a_pause_has_saved_up_nothing_but_the_credit() -> None:
    """A client who was away, and one who never was here, stand half a second below those who stayed."""
    shares = Shares()
    shares.come("away", [])
    shares.charge("away", 3.0)
    shares.come("stayed", ["away"])
    shares.go("away", ["stayed"])
    shares.charge("stayed", 100.0)
    for client in ("away", "new"):
        shares.come(client, ["stayed"])
        assert shares.had(client) == shares.had("stayed") - 0.5
    shares.charge("new", 50.0)
    shares.go("new", ["stayed", "away"])
    had = shares.had("new")
    shares.come("new", ["stayed", "away"])
    assert shares.had("new") == had  # to go and come again does not wash it off


def test_clients_who_are_gone_are_forgotten() -> None:
    shares = Shares()
    for i in range(1000):
        shares.come(str(i), [])
        shares.charge(str(i), 1.0)
        shares.go(str(i), [])
    assert len(shares._had) <= 2


@pytest.mark.parametrize("seed", range(8))
def test_the_time_to_the_next_ends_is_what_a_simulation_takes(seed: int) -> None:
    """To a step a client, as the formula lets clients share a step."""
    dice = random.Random(seed)
    clients = [f"c{i}" for i in range(dice.randint(1, 5))]
    shares, twin = Shares(), Shares()
    for client in clients:
        had = dice.uniform(0, 20)
        shares.charge(client, had)
        twin.charge(client, had)
    jobs = [work(dice.uniform(1, 40), dice.choice(clients)) for _ in range(12)]
    ends = dice.randint(1, 12)
    expected = seconds_to_ends(jobs, shares, ends)
    step = 0.05
    assert simulate(jobs, twin, ends, step) == pytest.approx(expected, abs=step * len(clients))


def test_places_are_kept_for_clients_who_have_nothing_in_hand() -> None:
    """Of 8 places one client fills 6. He is told when one of his is done; another client need not wait."""
    in_hand = [work(10 + i, "a") for i in range(6)]
    assert seconds_to_room(work(1, "a"), in_hand[:5], Shares(), 8, 0, 1) == 0
    assert seconds_to_room(work(1, "a"), in_hand, Shares(), 8, 0, 1) == pytest.approx(10)
    assert seconds_to_room(work(1, "b"), in_hand, Shares(), 8, 0, 1) == 0


def test_work_is_accepted_as_long_as_all_of_it_ends_in_time() -> None:
    """Of 100 s four fifths may be filled, by who has work in hand three quarters of that: 60 s."""
    in_hand = [work(50, "a", 100)]
    for client, left, seconds in (("a", 9, 0), ("a", 15, 5), ("b", 29, 0), ("b", 40, 10), ("b", 79, 49)):
        asked = work(left, client, 100)
        assert seconds_to_room(asked, in_hand, Shares(), 8, 0, 1) == pytest.approx(seconds)
    assert seconds_to_room(work(79, "b", 100), [work(75, "a", 100)], Shares(), 8, 0, 2) == 0


def test_a_hundredth_of_the_time_is_accepted_however_much_is_in_hand() -> None:
    in_hand = [work(500, "a", 100)]  # the machine has become slower since
    assert seconds_to_room(work(1, "a", 100), in_hand, Shares(), 8, 0, 1) == 0
    assert seconds_to_room(work(1.1, "a", 100), in_hand, Shares(), 8, 0, 1) > 0
    assert seconds_to_room(work(1, "a", 100), in_hand, Shares(), 1, 0, 1) == pytest.approx(500)  # there is no place


def test_nobody_is_told_to_wait_longer_than_the_work_before_him() -> None:
    in_hand = [work(30, "a", 100)]
    assert seconds_to_room(work(79, "a", 100), in_hand, Shares(), 8, 0, 1) == pytest.approx(30)
    assert seconds_to_room(work(79, "a", 130), [], Shares(), 8, 30, 1) == 0


def test_what_cannot_end_in_time_alone_is_told_by_a_fresh_measurement_only() -> None:
    long = Work(100, 80.0, "a", 4, pace(1.0, 4))
    assert too_long(long, 0.0)
    assert not too_long(Work(60, 80.0, "a", 4, pace(1.0, 4)), 0.0)
    assert not too_long(Work(100, 80.0, "a", 4, pace(1.0, 64)), 0.0)  # calls of this size were not measured
    assert not too_long(Work(100, 1080.0, "a", 4, pace(10.0, 4)), 1000.0)  # the machine may be faster by now


def test_a_pace_is_the_mean_of_its_time_and_forgets_by_half_in_ten_seconds_of_work() -> None:
    measured = Pace()
    assert measured.seconds(1) == 0.005
    measured.measure(1, 10.0, 10, 0)
    measured.measure(1, 10.0, 30, 0)
    assert measured.seconds(1) == pytest.approx((5 + 10) / (5 + 30))
    measured.measure(64, 0.1, 64, 0)
    assert measured.seconds(100) == measured.seconds(64) == pytest.approx(0.1 / 64)
    assert measured.seconds(2) == measured.seconds(1)
