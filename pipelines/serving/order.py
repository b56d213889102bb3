"""Which request takes the next steps of the device, whether one more would end in time, and when there is room again.

Nothing here waits or reads a clock. Seconds are those of the device: at so many steps at once, it does as many in one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_FIRST_GUESS = 0.005  # seconds of an evaluation, until one is measured
_HALF_LIFE = 10.0  # seconds of measured work, after which a measurement counts half
_PACE_HOLDS = 60.0  # seconds, after which an old pace refuses no one
_CREDIT = 0.5  # seconds that a client who comes may have before those who were here
_IN_TIME = 0.8  # of the time that a request has, what accepted work may fill; the rest is for a slower machine
_SMALL = 0.01  # of its time: what takes no longer is accepted as long as there is a place
_KEPT = 4  # one place in so many, and so much of the time, is for clients who have nothing in hand
_CAUTION = 1.1  # work is expected to take so much longer when it is asked whether it ends in time


class Pace:
    """Seconds of the device for an evaluation of one datum, measured apart for calls of few and of many data."""

    def __init__(self) -> None:
        self._measured: dict[int, tuple[float, float, float]] = {}  # (seconds, evaluations, when) by size of call

    def measure(self, rows: int, seconds: float, cost: float, now: float) -> None:
        """Calls with so many data took so long for so many evaluations."""
        old_seconds, old_cost, _ = self._measured.get(rows.bit_length(), (0.0, 0.0, now))
        keep = 0.5 ** (seconds / _HALF_LIFE)
        self._measured[rows.bit_length()] = (old_seconds * keep + seconds, old_cost * keep + cost, now)

    def seconds(self, rows: int) -> float:
        """Of one evaluation in calls with so many data, or in the most similar ones that were measured."""
        measured, size = self._measured, rows.bit_length()
        if size not in measured:
            if not measured:
                return _FIRST_GUESS
            size = min(measured, key=lambda other: abs(other - size))
        seconds, cost, _ = measured[size]
        return seconds / cost if cost else _FIRST_GUESS

    def known(self, rows: int, now: float) -> bool:
        """Whether such calls were measured lately."""
        measured = self._measured.get(rows.bit_length())
        return measured is not None and now - measured[2] <= _PACE_HOLDS


@dataclass(eq=False)
class Work:
    """What a request still asks of the device."""

    cost: float
    """Network evaluations of single data that remain."""
    deadline: float
    client: str = ""
    rows: int = 1
    """Data in a call of the network."""
    pace: Pace = field(default_factory=Pace)

    @property
    def left(self) -> float:
        """Seconds of the device that remain, by the pace so far."""
        return self.cost * self.pace.seconds(self.rows)


class Shares:
    """The seconds of the device that each client had.

    The one who had least is next. Who comes after a pause is set just below those who stayed, so that nobody saves up
    the time in which he asked for nothing.
    """

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._least = 0.0

    def had(self, client: str) -> float:
        return self._had.get(client, 0.0)

    def come(self, client: str, others: Iterable[str]) -> None:
        """A client without work in hand asks, beside these."""
        self._raise_least(others)
        self._had[client] = max(self.had(client), self._least - _CREDIT)

    def charge(self, client: str, seconds: float) -> None:
        self._had[client] = self.had(client) + seconds

    def go(self, client: str, others: Iterable[str]) -> None:
        """The last work of a client is done or given up; these have some still."""
        stay = set(others)
        self._raise_least({client, *stay})
        self._had = {name: had for name, had in self._had.items() if name in stay or had > self._least - _CREDIT}

    def _raise_least(self, clients: Iterable[str]) -> None:
        self._least = max(self._least, min(map(self.had, clients), default=0.0))


def next_of(ready: Sequence[Work], shares: Shares, now: float, at_once: int) -> int:
    """The place of the next one: of the client who had least, the one with least left.

    Where someone would be late by that, the one with the earliest deadline. What cannot end in time any more comes
    last, and what is late already comes first, to be ended.
    """
    by_deadline = sorted(range(len(ready)), key=lambda i: ready[i].deadline)
    if ready[by_deadline[0]].deadline < now:
        return by_deadline[0]
    left = [work.left for work in ready]
    in_time = [i for i in by_deadline if now + left[i] <= ready[i].deadline]
    seconds = 0.0
    for i in in_time:
        seconds += left[i]
        if now + _CAUTION * seconds / at_once > ready[i].deadline:
            return in_time[0]
    return min(in_time or by_deadline, key=lambda i: (shares.had(ready[i].client), left[i]))


def too_long(work: Work, now: float) -> bool:
    """Whether this cannot end in time even where nothing else is in hand."""
    return work.pace.known(work.rows, now) and work.left > _IN_TIME * (work.deadline - now)


def seconds_to_place(client: str, in_hand: Sequence[Work], shares: Shares, places: int, at_once: int) -> float:
    """How long until a client finds a place; 0 where there is one. A quarter is for who has nothing in hand."""
    has_some = any(other.client == client for other in in_hand)
    most = places - places // _KEPT if has_some else places
    return seconds_to_ends(in_hand, shares, len(in_hand) - most + 1) / at_once


def seconds_to_room(
    work: Work, in_hand: Sequence[Work], shares: Shares, places: int, now: float, at_once: int
) -> float:
    """How long until this can be accepted; 0 where it can be now.

    Each needs a place, and all work must end by its deadline. A quarter of both is for clients who have nothing in
    hand. Small work needs a place alone: it ends long before its deadline however much else is in hand.
    """
    until_place = seconds_to_place(work.client, in_hand, shares, places, at_once)
    left, before, time = work.left, sum(other.left for other in in_hand), work.deadline - now
    if left <= _SMALL * time:
        return until_place
    has_some = any(other.client == work.client for other in in_hand)
    time *= _IN_TIME * (1 - 1 / _KEPT if has_some else 1)
    until_time = min(before, before + left - time * at_once) / at_once
    return max(until_place, until_time)


def seconds_to_ends(in_hand: Sequence[Work], shares: Shares, ends: int) -> float:
    """Seconds of the device until so many of these are done, if no other comes and none is in danger to be late."""
    left: dict[str, list[float]] = {}
    for work in in_hand:
        left.setdefault(work.client, []).append(work.left)
    for each in left.values():
        each.sort(reverse=True)  # the last is the next
    had = {client: shares.had(client) for client in left}
    seconds = 0.0
    for _ in range(min(ends, len(in_hand))):
        first = min(left, key=lambda client: had[client] + left[client][-1])
        level = had[first] + left[first][-1]  # all get this far before the first has done its next one
        for client in left:
            given = max(0.0, level - had[client])
            seconds, had[client] = seconds + given, had[client] + given
            left[client][-1] -= given
        left[first].pop()
        if not left[first]:
            del left[first]
    return seconds
