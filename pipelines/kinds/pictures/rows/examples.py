"""The prepared pictures on their way into shards, each verified by the manifest's digest."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import IntegrityError
from ddpm_core.files import sha256_bytes
from ddpm_core.spec import DataSpec, conditions_of
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.kinds.pictures.rows.row import PictureRow
from pipelines.shards.archive import Example

_MEND = "`dvc checkout --force data/prepared` brings the recorded bytes back; `ddpm prepare` writes them anew"


def examples(folder: Path, rows: Sequence[PictureRow], spec: DataSpec) -> Iterator[Example]:
    for row in rows:
        path = folder / row.path
        if not path.is_file():
            raise IntegrityError(f"{path}: the manifest lists this picture, but the file is missing; {_MEND}")
        data = path.read_bytes()
        found = sha256_bytes(data)
        if found != row.sha256:
            raise IntegrityError(
                f"{path}: its SHA-256 must be {row.sha256}, as the manifest says, but it is {found}; {_MEND}"
            )
        yield example(row.key, decode_png(data), row.label, spec)


def example(key: str, image: NDArray[np.uint8], label: int, spec: DataSpec) -> Example:
    """A picture [C, H, W] with its label, -1 for none."""
    cond = {name: value[0] for name, value in conditions_of(spec, np.array([label])).items()}
    return Example(key, {"x": image, **cond})
