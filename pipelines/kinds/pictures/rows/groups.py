"""What is looked at of pictures beside each other: groups of near duplicates, and what drift is measured by."""

from collections import defaultdict
from collections.abc import Sequence
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


def row_columns(rows: Sequence[PictureRow]) -> dict[str, list[int]]:
    """`earlier_near_duplicates`: other contents of the group that come before, in the order of keys, which rows in
    partitions do not have. `near_sides` and `labels_of_near_duplicates`: on how many sides the group lies and how many
    labels it has."""
    sides, labels, contents = (defaultdict[str, set[Any]](set) for _ in range(3))
    grouped: list[tuple[str, int, str, str]] = []
    for place, row in enumerate(rows):
        if row.group:
            sides[row.group].add(row.split)
            labels[row.group].add(row.label)
            grouped.append((row.key, place, row.group, row.content_sha256))
    earlier, of_sides, of_labels = [0] * len(rows), [1] * len(rows), [1] * len(rows)
    for _, place, group, content in sorted(grouped):
        earlier[place] = len(contents[group] - {content})
        of_sides[place], of_labels[place] = len(sides[group]), len(labels[group])
        contents[group].add(content)
    return {"earlier_near_duplicates": earlier, "near_sides": of_sides, "labels_of_near_duplicates": of_labels}


def drift_values(rows: Sequence[PictureRow]) -> dict[str, NDArray[np.float64]]:
    names = ("brightness", "contrast", "width", "height")
    numbers = ((row.mean, row.std, row.found_width, row.found_height) for row in rows)
    return dict(zip(names, np.fromiter(numbers, dtype=np.dtype((np.float64, 4)), count=len(rows)).T, strict=True))


def drift_features(x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean levels of 8 x 8 parts of each channel, or of fewer where a picture has fewer pixels. [n, C * 64]"""
    parts = x.astype(np.float32)
    for axis in (2, 3):
        edges = np.linspace(0, x.shape[axis], 1 + min(_SIDE, x.shape[axis])).astype(int)
        counts = np.diff(edges).astype(np.float32)
        parts = np.asarray(np.add.reduceat(parts, edges[:-1], axis=axis), dtype=np.float32)
        parts /= counts[:, None] if axis == 2 else counts
    return parts.reshape(len(x), -1)
