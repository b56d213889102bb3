"""What a source gives: readings in the order of its files, and the rows that cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Check, Checks, Config
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.times import zone_of
from pipelines.kinds.series.sources.window import Window

CalendarName = Literal["hour_of_day", "day_of_week", "day_of_year", "weekend"]
text: Check = (lambda v: bool(v.strip()), "not empty")
names: Check = (
    lambda v: v is None or len(set(v)) == len(v) >= 1,
    "null (all that hold numbers) or different names, one at least",
)


@dataclass(frozen=True)
class SeriesSource(Config):
    """What every source of series is told: the times' grid, calendar features and the windows."""

    path: str
    frequency: str | None
    time_zone: str | None
    calendar: tuple[CalendarName, ...]
    scaling: Literal["together", "each_series"]
    window: Window

    __checks__: ClassVar[Checks] = {
        "path": text,
        "frequency": (
            lambda v: v is None or Frequency.is_text(v),
            "null (the commonest step) or a number and a unit, such as 30min (s, min, h, D, W, M, Q, Y)",
        ),
        "time_zone": (lambda v: v is None or zone_of(v) is not None, "null or a zone's name, such as Europe/Berlin"),
        "calendar": (lambda v: len(set(v)) == len(v), "different features"),
    }


@dataclass(frozen=True, eq=False)
class SeriesListing:
    """Row i, at `places[i]` (file:line), gives `values[i]` (NaN: missing) of the series `series[i]` at `times[i]`.

    `static[i]` is what the row says of its series as a whole, in the columns `static_columns`.
    """

    columns: tuple[str, ...]
    places: Sequence[str]
    series: Sequence[str]  # all "" where there is one series without a name
    times: Sequence[datetime]
    values: NDArray[np.float64]
    rejected: Sequence[Rejected]
    static_columns: tuple[str, ...]
    static: NDArray[np.float64]
