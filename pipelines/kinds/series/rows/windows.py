"""Which windows a series gives to training and to the test: by time, so that no target is seen before."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipelines.kinds.series.rows.grid import GriddedSeries
from pipelines.kinds.series.sources.window import Window


class Placed(NamedTuple):
    """Steps of a series, counted from its first: `start` to `end`, of which those from `target` on are answered."""

    split: Literal["train", "test"]
    start: int
    target: int
    end: int


def cut_of(series: Sequence[GriddedSeries], test_fraction: float) -> np.datetime64:
    """The first moment of the test, for all series the same: that share of all steps lies behind it."""
    times = np.sort(np.concatenate([each.times for each in series]))
    cut: np.datetime64 = times[min(len(times) - 1, int(np.ceil((1 - test_fraction) * len(times))))]
    return cut


def windows(steps: int, cut: int, window: Window) -> Iterator[Placed]:
    """Windows of a series of so many steps, of which the test begins at `cut`.

    Those of training end before it. Targets of the test begin at it or later; what is told of them may lie before.
    """
    for start in range(0, cut - window.steps + 1, window.stride):
        yield Placed("train", start, start + window.told, start + window.steps)
    for start in range(cut - window.told, steps - window.steps + 1, window.test_stride):
        if start >= 0:
            yield Placed("test", start, start + window.told, start + window.steps)
