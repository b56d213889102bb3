"""What a clock and a calendar say of a time, as numbers for a network: between -1 and 1."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.kinds.series.rows.times import Moments

Features = NDArray[np.float32]


def _hour_of_day(times: Moments) -> NDArray[np.float64]:
    return np.asarray((times - times.astype("datetime64[D]")) / np.timedelta64(1, "D"))


def _day_of_week(times: Moments) -> NDArray[np.float64]:
    """1970 began on a Thursday."""
    days: NDArray[np.float64] = (times.astype("datetime64[D]").astype(np.int64) + 3) % 7 / 7.0
    return days


def _day_of_year(times: Moments) -> NDArray[np.float64]:
    years = times.astype("datetime64[Y]")
    first, next_first = years.astype("datetime64[D]"), (years + 1).astype("datetime64[D]")
    return np.asarray((times.astype("datetime64[D]") - first) / (next_first - first))


_TURNS: Mapping[str, Callable[[Moments], NDArray[np.float64]]] = {
    "hour_of_day": _hour_of_day,
    "day_of_week": _day_of_week,
    "day_of_year": _day_of_year,
}
"""The share of a turn that is over: 0 at midnight, on Monday, on the first of January."""


def feature_names(chosen: Iterable[str]) -> list[str]:
    """The rows of `features`: a sine and a cosine of each turn, one row of `weekend`."""
    return [row for name in chosen for row in ([f"{name}_sin", f"{name}_cos"] if name in _TURNS else [name])]


def features(times: Moments, rows: Iterable[str]) -> Features:
    """[rows, times] of these names, of what the clocks show at the times."""
    found = [_row(times, name) for name in rows]
    return np.array(found, dtype=np.float32).reshape(len(found), len(times))


def _row(times: Moments, name: str) -> NDArray[np.float64]:
    if name == "weekend":
        return np.where(_day_of_week(times) * 7 > 4.5, 1.0, -1.0)
    turn, wave = name.rsplit("_", 1)
    return {"sin": np.sin, "cos": np.cos}[wave](2 * np.pi * _TURNS[turn](times))
