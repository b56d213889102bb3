"""The times of a request's rows: on which steps of the data's frequency they lie, and the times of other steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ddpm_core.errors import DataError
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.times import Moments, parse_time, text_of, zone_of
from pipelines.serving.base.request import Fault, InvalidRequest

MOST_STEPS = 100_000
"""The most steps from the first row of a table to its last."""
_YEARS = (1700, 2200)


@dataclass(frozen=True, eq=False)
class Grid:
    """Step 0 is the first row of the table; earlier steps are negative."""

    step: Frequency
    zone: ZoneInfo | None
    first: int
    phase: int
    utc: bool  # whether times without a zone were given with an offset

    def clock(self, start: int, stop: int) -> Moments:
        """What the clocks show at these steps."""
        return self.step.clock(self._times(start, stop), self.zone)

    def texts(self, start: int, stop: int) -> list[str]:
        """The times of these steps as ISO 8601; with an offset from UTC where there is a zone, or one was given."""
        times = self._times(start, stop)
        if self.step.in_days or (self.zone is None and not self.utc):
            return [text_of(time) for time in times]
        if self.zone is None:
            return [f"{text_of(time)}+00:00" for time in times]
        seconds = times.astype(np.int64).tolist()
        return [datetime.fromtimestamp(each, self.zone).isoformat() for each in seconds]

    def _times(self, start: int, stop: int) -> Moments:
        return self.step.times(self.first + np.arange(start, stop), self.phase)


def on_grid(times: Sequence[Any], about: Mapping[str, Any], place: Callable[[int], str]) -> tuple[list[int], Grid]:
    """The step of each time, counted from the first; InvalidRequest where they do not rise on one grid.

    A step may be left out: its row is missing.
    """
    step, zone = Frequency.of(about["frequency"]), zone_of(about["time_zone"]) if about.get("time_zone") else None
    given = [_parsed(text) for text in times]
    _refuse(
        [None if time else "must be a time in ISO 8601, of whole seconds, from 1700 to 2200" for time in given], place
    )
    read = [time for time in given if time is not None]
    aware = [time.tzinfo is not None for time in read]
    if zone is None:
        wanted = (
            "must have an offset from UTC as the first time has" if aware[0] else "must have no offset, as the first"
        )
        _refuse([None if each == aware[0] else wanted for each in aware], place)
    moments, faults = step.moments(read, zone)
    _refuse([fault or None for fault in faults], place)
    steps, on, phase = step.steps(moments)
    _refuse([None if each else f"must lie on the grid of {step.text} of the other times" for each in on], place)
    rises = [True, *(np.diff(steps) > 0).tolist()]
    _refuse([None if each else "must be later than the time of the row before" for each in rises], place)
    if steps[-1] - steps[0] >= MOST_STEPS:
        raise InvalidRequest.of(place(len(steps) - 1), f"must be less than {MOST_STEPS} steps after the first time")
    return (steps - steps[0]).tolist(), Grid(step, zone, int(steps[0]), phase, aware[0])


def _parsed(text: Any) -> datetime | None:
    try:
        time = parse_time(text, None) if isinstance(text, str) else None
    except DataError:
        return None
    return time if time is not None and _YEARS[0] <= time.year < _YEARS[1] else None


def _refuse(faults: Sequence[str | None], place: Callable[[int], str]) -> None:
    found: list[Fault] = [
        {"field": place(row), "message": fault} for row, fault in enumerate(faults) if fault is not None
    ]
    if found:
        raise InvalidRequest(found)
