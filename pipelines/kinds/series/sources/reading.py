"""One row of a table, read; and melted tables, which have a row for each value, made wide."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.kinds.quarantine import Rejected


@dataclass(frozen=True, eq=False)
class Reading:
    """What row `place` (file:line) says of a series at a time. `variable` names the value of a melted table's row."""

    place: str
    series: str
    time: datetime
    variable: str
    values: list[float]
    static: list[float]


def widened(readings: Sequence[Reading]) -> tuple[tuple[str, ...], list[Reading], list[Rejected]]:
    """The rows of a melted table together that are about one time of one series: the names of the values, in order,
    a reading with all of them, and the rows that say a value again."""
    columns = tuple(sorted({reading.variable for reading in readings}))
    at = {name: place for place, name in enumerate(columns)}
    wide: dict[tuple[str, datetime], Reading] = {}
    first: dict[tuple[str, datetime, str], str] = {}
    rejected = []
    for each in readings:
        before = first.setdefault((each.series, each.time, each.variable), each.place)
        if before != each.place:
            rejected.append(Rejected(each.place, f"{each.variable} at {each.time} is in {before} too"))
            continue
        whole = wide.setdefault(
            (each.series, each.time),
            Reading(each.place, each.series, each.time, "", [np.nan] * len(columns), list(each.static)),
        )
        whole.values[at[each.variable]] = each.values[0]
    return columns, list(wide.values()), rejected
