"""out/samples: every picture that was measured with its label and seed, and the grids that the report shows."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import json_bytes
from ddpm_core.metrics.config import PictureEvaluateConfig
from ddpm_core.metrics.labels import by_class
from ddpm_core.metrics.memorisation import Nearest
from ddpm_core.spec import DataSpec, attributes_in
from pipelines.kinds.pictures.evaluation.panels import SampleSet
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.rows.decode import grid, shown

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
    told = attributes_in(spec, made.cond)
    files = {
        "grid.png": _class_grid(images, labels, spec, spec.classes, columns, scale),
        "images.npz": _npz({"images": images, "labels": labels, "seeds": seeds, **told}),
        "real.png": _class_grid(train.images, train.labels, spec, spec.classes, columns, scale),
    }
    for name, values in told.items():
        classes = spec.attributes[name].classes
        files[f"grid_{name}.png"] = _class_grid(images, values, spec, classes, columns, scale)
    for name, rows in (("closest", closest), ("first", spread)):
        pairs = np.stack([images[rows], train.images[copied.index[rows]]], axis=0).reshape(-1, *spec.shape)
        files[f"neighbours_{name}.png"] = grid(shown(pairs, spec), len(rows), scale)
    listed = [
        {"seed": int(seeds[i]), "key": train.keys[int(copied.index[i])], "distance": round(float(copied.first[i]), 3)}
        for i in closest
    ]
    return {**files, "neighbours.json": json_bytes(listed), **panels}


def _class_grid(
    images: Images, labels: Labels, spec: DataSpec, names: Sequence[str], columns: int, scale: int
) -> bytes:
    """A row a class (black where it has no more), or a square of the first pictures where none was asked for any."""
    classes = names if (labels >= 0).any() else ()
    groups = by_class(labels, classes, columns)
    if not classes:
        return grid(shown(images[groups[0][1]], spec), columns, scale)
    canvas = np.zeros((len(groups) * columns, *spec.shape), dtype=np.uint8)
    for row, (_, places) in enumerate(groups):
        canvas[row * columns : row * columns + len(places)] = images[places]
    return grid(shown(canvas, spec), columns, scale)


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as an .npz; numpy gives each member one fixed date, so the bytes repeat."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
