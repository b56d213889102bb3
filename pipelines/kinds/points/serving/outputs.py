"""Points as bytes. The same points give the same bytes; a coordinate has the fewest digits that tell its float32."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import json_bytes
from pipelines.kinds.points.rows.scatter import Cloud, scatter

Labels = Sequence[int | None]


def shortest(value: Any) -> float:
    return float(str(np.float32(value)))


def json(points: NDArray[np.float32], labels: Labels, seeds: Sequence[int], made_by: Mapping[str, str]) -> bytes:
    """`points`, each with x, y, label (null: none) and seed, and `made_by`."""
    listed = [
        {"x": shortest(x), "y": shortest(y), "label": label, "seed": seed}
        for (x, y), label, seed in zip(points, labels, seeds, strict=True)
    ]
    return json_bytes({"made_by": dict(made_by), "points": listed})


def csv(points: NDArray[np.float32], labels: Labels, seeds: Sequence[int], made_by: Mapping[str, str]) -> bytes:
    """The columns x, y, label (empty: none) and seed."""
    rows = zip(points, labels, seeds, strict=True)
    lines = [f"{x!s},{y!s},{'' if label is None else label},{seed}\n" for (x, y), label, seed in rows]
    return "".join(["x,y,label,seed\n", *lines]).encode()


def npz(points: NDArray[np.float32], labels: Labels, seeds: Sequence[int], made_by: Mapping[str, str]) -> bytes:
    """`points` float32 [n, 2], `labels` int64 [n] (-1: none), `seeds` uint64 [n]."""
    stream = io.BytesIO()
    np.savez_compressed(stream, points=points, labels=_numbers(labels), seeds=np.array(seeds, dtype=np.uint64))
    return stream.getvalue()


def png(points: NDArray[np.float32], labels: Labels, seeds: Sequence[int], made_by: Mapping[str, str]) -> bytes:
    """The points drawn, a colour a label; the PNG's text says how they were made."""
    about = {f"ddpm {key}": value for key, value in {"seeds": f"{seeds[0]} to {seeds[-1]}", **made_by}.items()}
    return scatter([Cloud(f"{len(points)} points", points, _numbers(labels))], text=about)


def _numbers(labels: Labels) -> NDArray[np.int64]:
    return np.array([-1 if label is None else label for label in labels], dtype=np.int64)
