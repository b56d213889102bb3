"""out/samples: every picture that was measured with its label and seed, and the grids that the report shows."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import json_bytes
from ddpm_core.metrics.config import PictureEvaluateConfig
from ddpm_core.metrics.labels import by_class
from ddpm_core.metrics.memorisation import Nearest
from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.evaluation.panels import SampleSet
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.rows.decode import grid

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def sample_files(
    made: SampleSet,
    train: ImageSplit,
    copied: Nearest,
    spec: DataSpec,
    config: PictureEvaluateConfig,
    panels: Mapping[str, bytes],
) -> dict[str, bytes]:
    """The grid, all pictures with labels and seeds, and what the report shows beside them; `panels` are such files."""
    images, labels, seeds, columns = made.images, made.labels, made.seeds, config.grid_columns
    closest = np.argsort(copied.first, kind="stable")[: config.neighbours]
    spread = np.arange(min(config.neighbours, len(images)))
    scale = max(1, 56 // max(spec.shape[1:]))
    files = {
        "grid.png": _class_grid(images, labels, spec, columns, scale),
        "images.npz": _npz({"images": images, "labels": labels, "seeds": seeds}),
        "real.png": _class_grid(train.images, train.labels, spec, columns, scale),
    }
    for name, rows in (("closest", closest), ("first", spread)):
        pairs = np.stack([images[rows], train.images[copied.index[rows]]], axis=0).reshape(-1, *spec.shape)
        files[f"neighbours_{name}.png"] = grid(pairs, len(rows), scale)
    listed = [
        {"seed": int(seeds[i]), "key": train.keys[int(copied.index[i])], "distance": round(float(copied.first[i]), 3)}
        for i in closest
    ]
    return {**files, "neighbours.json": json_bytes(listed), **panels}


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
