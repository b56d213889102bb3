"""Stratified levels to estimate a sum over all levels: one level from each of several runs of levels.

The terms of the bound grow steeply towards clean data, so the runs grow with the level: the first hold one level each,
which is then exact, the last hold many. A level drawn from a run of m stands for m, so the estimate has no bias.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import ParamsError

Ints = NDArray[np.int64]


class Drawn(NamedTuple):
    """Levels, rising, and the number of levels that each one stands for."""

    levels: Ints
    stands_for: Ints


def runs(T: int, count: int) -> Ints:
    """Edges of `count` runs that cover 1..T, level 1 being a run of its own: run i is edges[i] .. edges[i + 1] - 1."""
    if not 1 <= count <= T or (count == 1 and T > 1):
        raise ParamsError(f"levels of the bound: must be `all`, or from {min(2, T)} to the schedule's {T}, got {count}")
    if T == 1:
        return np.array([1, 2], dtype=np.int64)
    edges = np.rint(np.geomspace(2, T + 1, count)).astype(np.int64)
    place = np.arange(count)
    # Every run has a level: edges rise by at least one, from 2 up and from T + 1 down.
    edges = np.maximum.accumulate(edges - place) + place
    return np.append(1, np.minimum(edges, T + 1 - place[::-1]))


def drawn_levels(T: int, count: int, draw: np.random.Generator) -> Drawn:
    """One level of each run, uniform within the run."""
    edges = runs(T, count)
    widths = np.diff(edges)
    return Drawn(edges[:-1] + draw.integers(0, widths), widths)
