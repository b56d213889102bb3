"""A row of the manifest: a window of a series."""

from dataclasses import dataclass

from pipelines.kinds.manifest import Row


@dataclass(frozen=True, kw_only=True)
class WindowRow(Row):
    """Steps are counted from 1970 on in the data's frequency, so those of two series compare.

    From `longest_gap` on, a column is about the whole series, and the same in all its windows.
    """

    series: str
    start: str  # the time of the first step
    first: int  # step
    target: int  # the first step that is answered; what lies before is history
    end: int  # the step after the last
    missing: float  # share of the values
    deviations: float  # largest distance from the mean of the training part, in standard deviations
    longest_gap: int  # steps in a row without any value
    series_missing: float  # share of the values, of the whole series
    irregular: float  # share of the rows whose time is off the grid, there twice, or no time of the zone
    backward: float  # share of the rows that are earlier than the one before
    constant: int  # columns with one value in the whole training part
