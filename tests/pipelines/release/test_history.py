"""What is kept of a version, read back: events in order, and what somebody wrote beside them does no harm."""

import json

from pipelines.release.history import PROMOTED, RESTORED, ROLLED_BACK, Event, events_of, is_held_back
from pipelines.tracking.mlflow_registry import Version


def version(*events: Event, **other: str) -> Version:
    tags = dict(other)
    for event in events:
        tags |= event.tag()
    return Version(1, "b" * 64, tags, 0)


def event(what: str, day: int) -> Event:
    return Event(what, f"2026-11-{day:02d}T10:00:00.000000+00:00", "me@here", "sevens")


def test_events_come_the_oldest_first_whatever_the_order_of_their_tags() -> None:
    days = (7, 3, 12, 5)
    found = events_of(version(*(event(PROMOTED, day) for day in days)))
    assert found == [event(PROMOTED, day) for day in sorted(days)]


def test_the_last_event_tells_whether_a_version_is_held_back() -> None:
    assert not is_held_back(version())
    assert is_held_back(version(event(PROMOTED, 1), event(ROLLED_BACK, 2)))
    for again in (PROMOTED, RESTORED):
        assert not is_held_back(version(event(PROMOTED, 1), event(ROLLED_BACK, 2), event(again, 3)))


def test_a_tag_that_somebody_wrote_by_hand_is_passed_over() -> None:
    by_hand = ("", "words", "[]", "3", "null", "{}", json.dumps({"what": PROMOTED, "at": "x", "of": "many"}))
    for text in by_hand:
        assert events_of(version(event(PROMOTED, 1), **{"event.by-hand": text})) == [event(PROMOTED, 1)], text
