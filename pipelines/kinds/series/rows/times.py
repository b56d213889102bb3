"""Times: text to a moment, a zone's clock to UTC and back. numpy and the standard library alone, so serving can use it.

A moment is datetime64[s]. Without a zone it is what the text says, or UTC where the text has an offset.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError

UNIX = {"unix_s": 1, "unix_ms": 1000}
"""Patterns of times that are counted from 1970, in UTC; and how many counts a second has."""
Moments = NDArray[np.datetime64]  # of seconds


@cache
def zone_of(name: str) -> ZoneInfo | None:
    """A zone of the IANA database; None where there is none of the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def parse_time(text: str, pattern: str | None) -> datetime:
    """A time as ISO 8601 writes it, as `datetime.strptime` reads it by a pattern, or counted from 1970 (`UNIX`); whole
    seconds alone."""
    try:
        if pattern in UNIX:
            time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text) * 1000 // UNIX[pattern])
        else:
            time = datetime.fromisoformat(text) if pattern is None else datetime.strptime(text, pattern)
    except (ValueError, OverflowError) as error:
        wanted = f"{pattern!r}, which is source.time_format"
        if pattern is None:
            wanted = "ISO 8601; of CSV `source.time_format` says how times are written"
        raise DataError(f"{text[:60]!r} is no time in {wanted}") from error
    if time.microsecond:
        raise DataError(f"{text[:60]!r} is no whole second, which is the finest step there is")
    return time


def moments(times: Iterable[datetime], zone: ZoneInfo | None) -> tuple[Moments, list[str]]:
    """Times as moments, and why not ("" where there is nothing wrong; then the moment is NaT).

    With a zone a time without an offset is one of its clocks. An hour that the clock shows twice is summer's the first
    time it comes and winter's the second; an hour that it leaves out is none.
    """
    found, faults, seen = [], [], set[datetime]()
    for time in times:
        moment, fault = _moment(time, zone, seen)
        found.append("NaT" if moment is None else moment.replace(tzinfo=None).isoformat())
        faults.append(fault)
    return np.array(found, dtype="datetime64[s]"), faults


def _moment(time: datetime, zone: ZoneInfo | None, seen: set[datetime]) -> tuple[datetime | None, str]:
    if time.tzinfo is not None:
        return time.astimezone(UTC), ""
    if zone is None:
        return time, ""
    first, second = (time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(zone).replace(tzinfo=None) != time:
        return None, f"{time.isoformat(' ')} is no time in {zone.key}, whose clocks are put forward over it"
    moment = second if first in seen else first
    seen.add(moment)
    return moment, ""


def local(times: Moments, zone: ZoneInfo | None) -> Moments:
    """What the clocks of a zone show at these moments."""
    if zone is None or not len(times):
        return times
    # Clocks are changed at whole quarters of an hour.
    quarters, which = np.unique(times.astype("datetime64[s]").astype(np.int64) // 900, return_inverse=True)
    offsets = [datetime.fromtimestamp(int(each) * 900, zone).utcoffset() or timedelta() for each in quarters]
    shown: Moments = times + np.array([each // timedelta(seconds=1) for each in offsets], dtype="timedelta64[s]")[which]
    return shown


def text_of(time: np.datetime64) -> str:
    """As ISO 8601, without the seconds where there are none."""
    return str(time.astype("datetime64[s]")).removesuffix(":00")
