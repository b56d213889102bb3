"""What is looked at of pictures beside each other: groups of near duplicates, and what drift is measured by."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.kinds.pictures.rows.row import PictureRow

_SIDE = 8  # of the small version that stands for a picture


def groups_of(rows: Sequence[PictureRow]) -> list[list[PictureRow]]:
    """The rows of each group of near duplicates, the largest first. Exact copies are in the group of their like."""
    groups: dict[str, list[PictureRow]] = defaultdict(list)
    for row in rows:
        if row.group:
            groups[row.group].append(row)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].group))


def row_columns(rows: Sequence[PictureRow]) -> list[Mapping[str, Any]]:
    """`earlier_near_duplicates`: other contents of the group that come before. `near_sides` and
    `labels_of_near_duplicates`: on how many sides the group lies and how many labels it has."""
    sides, labels = (defaultdict[str, set[Any]](set) for _ in range(2))
    for row in rows:
        sides[row.group].add(row.split)
        labels[row.group].add(row.label)
    contents: dict[str, set[str]] = defaultdict(set)
    columns: list[Mapping[str, Any]] = []
    for row in rows:
        before = contents[row.group]
        columns.append(
            {
                "earlier_near_duplicates": len(before - {row.content_sha256}) if row.group else 0,
                "near_sides": len(sides[row.group]) if row.group else 1,
                "labels_of_near_duplicates": len(labels[row.group]) if row.group else 1,
            }
        )
        before.add(row.content_sha256)
    return columns


def drift_values(rows: Sequence[PictureRow]) -> dict[str, list[float]]:
    return {
        "brightness": [row.mean for row in rows],
        "contrast": [row.std for row in rows],
        "width": [float(row.found_width) for row in rows],
        "height": [float(row.found_height) for row in rows],
    }


def drift_features(x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean levels of 8 x 8 parts of each channel, or of fewer where a picture has fewer pixels. [n, C * 64]"""
    parts = x.astype(np.float32)
    for axis in (2, 3):
        edges = np.linspace(0, x.shape[axis], 1 + min(_SIDE, x.shape[axis])).astype(int)
        counts = np.diff(edges).astype(np.float32)
        parts = np.asarray(np.add.reduceat(parts, edges[:-1], axis=axis), dtype=np.float32)
        parts /= counts[:, None] if axis == 2 else counts
    return parts.reshape(len(x), -1)
