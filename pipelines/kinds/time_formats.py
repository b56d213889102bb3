"""How a column of times is written: ISO 8601, a pattern, or seconds since 1970."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from ddpm_core.errors import DataError
from pipelines.kinds.series.rows.times import UNIX, parse_time

NAMES = frozenset(
    ["time", "timestamp", "date", "datetime", "epoch", "ds", "t", "year", "unix", "unixtime", "unix_time"]
)
"""Of columns whose whole numbers may be times."""
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
         "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")  # fmt: skip
_HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
PATTERNS: tuple[str | None, ...] = (
    None, *(day + hour for day in _DAYS for hour in _HOURS), "%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m", "%b %Y", "%B %Y", "%b-%y",
)  # fmt: skip
_OF_NUMBERS = ("%Y%m%d", "%Y", *UNIX)
_YEARS = (1900, 2100)
_TRIED, _FIRST = 500, 20


@dataclass(frozen=True)
class Written:
    """`share` of the cells are times by the pattern. `why`: what decided between day and month, if something had to;
    `other`: the pattern that fits as well, so that it is a guess."""

    pattern: str | None
    share: float
    why: str = ""
    other: str | None = None


def written(cells: Sequence[Any]) -> Written:
    """Of the cells of a column that hold something, in the order of the file."""
    if not isinstance(cells[0], str):
        return Written(None, sum(isinstance(cell, date) for cell in cells) / len(cells))
    some = cells[:: max(1, len(cells) // _TRIED)]
    likely = [pattern for pattern in PATTERNS if any(_moment(cell, pattern) for cell in some[:_FIRST])]
    shares = {pattern: sum(_moment(cell, pattern) is not None for cell in some) / len(some) for pattern in likely}
    most = max(shares.values(), default=0.0)
    best = [pattern for pattern in shares if shares[pattern] == most and most]
    if len(best) < 2:
        return Written(best[0] if best else None, most)
    return _in_order(best, cells, most)


def of_numbers(name: str, cells: Sequence[Any]) -> Written | None:
    """Of a column of numbers that is called like a time, where they are written as times are."""
    if name.strip().lower() not in NAMES:
        return None
    some = cells[:: max(1, len(cells) // _TRIED)]
    for pattern in _OF_NUMBERS:
        times = [_moment(cell, pattern) for cell in some]
        good = [time for time in times if time is not None and _YEARS[0] <= time.year < _YEARS[1]]
        if pattern == "%Y%m%d" and any(len(str(cell)) != 8 for cell in some):
            continue
        if len(good) == len(times) and (pattern not in UNIX or good[0].year > 1972):
            return Written(pattern, 1.0)
    return None


def _in_order(patterns: Sequence[str | None], cells: Sequence[Any], share: float) -> Written:
    """The pattern by which the times have the fewest different gaps; then the one by which they go back least often."""
    scores = {}
    for pattern in patterns:
        times = [time for time in (_moment(cell, pattern) for cell in cells) if time is not None]
        gaps = Counter(b - a for a, b in pairwise(sorted(set(times))))
        scores[pattern] = (len(gaps), sum(b < a for a, b in pairwise(times)))
    first, second = sorted(patterns, key=lambda pattern: scores[pattern])[:2]  # a stable order
    if scores[first] == scores[second]:
        return Written(first, share, other=second)
    (fewest, back), (others, other_back) = scores[first], scores[second]
    if fewest != others:
        return Written(first, share, f"for by {second} the times have {others} different gaps, and so {fewest}")
    return Written(first, share, f"for by {second} the times go back {other_back} times, and so {back} times")


def _moment(cell: Any, pattern: str | None) -> datetime | None:
    try:
        return parse_time(cell, pattern).replace(tzinfo=None) if isinstance(cell, str) else None
    except DataError:
        return None


def example(cells: Sequence[Any], pattern: str | None) -> tuple[Any, datetime] | None:
    """A cell and the time that it is read as: of the first ones, one that tells the day from the month."""
    read = [(cell, time) for cell in cells[:1000] if (time := _moment(cell, pattern)) is not None]
    return next((each for each in read if each[1].day != each[1].month), read[0] if read else None)
