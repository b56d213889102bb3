"""points.csv: the points that can be used, a row each, in the order of their keys."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipelines.kinds.manifest import Row

TABLE = "points.csv"
_COLUMNS = ("key", "x", "y", "class")


@dataclass(frozen=True, kw_only=True)
class PointRow(Row):
    """A point of the manifest."""

    x: float
    y: float
    deviations: float  # from the mean of the training points, along the axis where it lies farther out


def table_bytes(rows: Iterable[PointRow]) -> bytes:
    """The table; a coordinate has the fewest digits that give the same float32 again."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((row.key, np.float32(row.x), np.float32(row.y), row.class_name) for row in rows)
    return text.getvalue().encode()
