"""The step from one time of a series to the next: a number of seconds, or of months."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from pipelines.kinds.series.rows.times import Moments, local, moments

DAY = 86_400
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "D": DAY, "W": 7 * DAY}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_TEXT = re.compile(r"([1-9]\d{0,8})?(s|min|h|D|W|M|Q|Y)")


@dataclass(frozen=True)
class Frequency:
    """`count` seconds, or months. Steps are numbered from 1970 on, whatever series they are of."""

    count: int
    months: bool

    @staticmethod
    def is_text(text: str) -> bool:
        return _TEXT.fullmatch(text) is not None

    @classmethod
    def of(cls, text: str) -> Self:
        """From a text such as 30min."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise DataError(f"a frequency must be a number and one of s, min, h, D, W, M, Q, Y, got {text!r}")
        number, unit = int(match[1] or 1), match[2]
        return cls(number * {**_SECONDS, **_MONTHS}[unit], unit in _MONTHS)

    @classmethod
    def between(cls, times: Moments) -> Self | None:
        """The commonest difference of times that follow each other, the smallest of equally common ones."""
        seconds = np.diff(np.unique(times.astype("datetime64[s]").astype(np.int64)))
        if not len(seconds):
            return None
        values, counts = np.unique(seconds, return_counts=True)
        commonest = int(values[counts.argmax()])
        for days, months in ((range(28, 32), 1), (range(90, 93), 3), (range(365, 367), 12)):
            if commonest in [day * DAY for day in days]:
                return cls(months, True)
        return cls(commonest, False)

    @property
    def text(self) -> str:
        units = _MONTHS if self.months else _SECONDS
        unit, size = max((each for each in units.items() if self.count % each[1] == 0), key=lambda each: each[1])
        return unit if self.count == size else f"{self.count // size}{unit}"

    @property
    def in_days(self) -> bool:
        """Whether a step is whole days, so that its times are dates of the clock and not moments."""
        return self.months or self.count % DAY == 0

    def moments(self, times: Iterable[datetime], zone: ZoneInfo | None) -> tuple[Moments, list[str]]:
        """As `times.moments`; where a step is whole days, dates are dates, however long the day is."""
        if not self.in_days:
            return moments(times, zone)
        shown = (time.astimezone(zone).replace(tzinfo=None) if time.tzinfo and zone else time for time in times)
        return moments(shown, None)

    def clock(self, times: Moments, zone: ZoneInfo | None) -> Moments:
        """What the clocks show at times of the grid."""
        return times if self.in_days else local(times, zone)

    def steps(self, times: Moments) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
        """The step that each time is, whether it lies on the grid of most of them, and the phase of that grid."""
        units = times.astype("datetime64[M]" if self.months else "datetime64[s]").astype(np.int64)
        phases = units % self.count
        values, counts = np.unique(phases, return_counts=True)
        phase = int(values[counts.argmax()]) if len(values) else 0
        return units // self.count, phases == phase, phase

    def times(self, steps: NDArray[np.int64], phase: int) -> Moments:
        """The time of each step; of months their first day."""
        units = steps * self.count + phase
        return units.astype("datetime64[M]" if self.months else "datetime64[s]").astype("datetime64[s]")
