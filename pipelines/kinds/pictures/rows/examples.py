"""The prepared pictures on their way into shards, each verified by the manifest's digest."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec, conditions_of
from pipelines.kinds.manifest import read_file
from pipelines.kinds.pictures.rows.decode import decode_png, from_file
from pipelines.kinds.pictures.rows.row import PictureRow
from pipelines.shards.archive import Example


def examples(folder: Path, rows: Sequence[PictureRow], spec: DataSpec) -> Iterator[Example]:
    for row in rows:
        yield example(row.key, from_file(decode_png(read_file(folder, row))), row.label, spec, row.told)


def example(
    key: str, image: NDArray[np.uint8], label: int, spec: DataSpec, told: Mapping[str, int] | None = None
) -> Example:
    """A picture [C, H, W] with its label and attributes, -1 for none."""
    attributes = {name: np.array([value]) for name, value in (told or {}).items()}
    cond = {name: value[0] for name, value in conditions_of(spec, np.array([label]), attributes).items()}
    return Example(key, {"x": image, **cond})
