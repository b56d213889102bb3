"""The prepared pictures on their way into shards, each verified by the manifest's digest."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec, conditions_of
from pipelines.kinds.manifest import read_file
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.kinds.pictures.rows.row import PictureRow
from pipelines.shards.archive import Example


def examples(folder: Path, rows: Sequence[PictureRow], spec: DataSpec) -> Iterator[Example]:
    for row in rows:
        yield example(row.key, decode_png(read_file(folder, row)), row.label, spec)


def example(key: str, image: NDArray[np.uint8], label: int, spec: DataSpec) -> Example:
    """A picture [C, H, W] with its label, -1 for none."""
    cond = {name: value[0] for name, value in conditions_of(spec, np.array([label])).items()}
    return Example(key, {"x": image, **cond})
