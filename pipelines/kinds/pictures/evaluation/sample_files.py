"""out/samples: every picture that was measured with its label and seed, and the grids that the report shows."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import atomic_folder, atomic_write_bytes, atomic_write_json
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.labels import by_class
from ddpm_core.metrics.memorisation import Nearest
from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.rows.decode import grid

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def write_samples(
    place: Path,
    images: Images,
    labels: Labels,
    seeds: Labels,
    train: ImageSplit,
    copied: Nearest,
    spec: DataSpec,
    config: EvaluateConfig,
    panels: Mapping[str, bytes],
) -> None:
    """The grid, all pictures with labels and seeds, and what the report shows beside them; `panels` are such files."""
    closest = np.argsort(copied.first, kind="stable")[: config.neighbours]
    spread = np.arange(min(config.neighbours, len(images)))
    scale = max(1, 56 // max(spec.shape[1:]))
    with atomic_folder(place) as folder:
        atomic_write_bytes(folder / "grid.png", _class_grid(images, labels, spec, config.grid_columns, scale))
        atomic_write_bytes(folder / "images.npz", _npz({"images": images, "labels": labels, "seeds": seeds}))
        atomic_write_bytes(
            folder / "real.png", _class_grid(train.images, train.labels, spec, config.grid_columns, scale)
        )
        for name, rows in (("closest", closest), ("first", spread)):
            pairs = np.stack([images[rows], train.images[copied.index[rows]]], axis=0).reshape(-1, *spec.shape)
            atomic_write_bytes(folder / f"neighbours_{name}.png", grid(pairs, len(rows), scale))
        listed = [
            {
                "seed": int(seeds[i]),
                "key": train.keys[int(copied.index[i])],
                "distance": round(float(copied.first[i]), 3),
            }
            for i in closest
        ]
        atomic_write_json(folder / "neighbours.json", listed)
        for name, content in panels.items():
            atomic_write_bytes(folder / name, content)


def _class_grid(images: Images, labels: Labels, spec: DataSpec, columns: int, scale: int) -> bytes:
    """A row a class (black where it has no more), or a square of the first pictures where there are no labels."""
    classes = spec.classes if (labels >= 0).all() else ()
    groups = by_class(labels, classes, columns)
    if not classes:
        return grid(images[groups[0][1]], columns, scale)
    canvas = np.zeros((len(groups) * columns, *spec.shape), dtype=np.uint8)
    for row, (_, places) in enumerate(groups):
        canvas[row * columns : row * columns + len(places)] = images[places]
    return grid(canvas, columns, scale)


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as an .npz; numpy gives each member one fixed date, so the bytes repeat."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
