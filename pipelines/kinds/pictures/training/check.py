"""A look at the first batch of pictures before any step: are there values to learn from, and are all in range?"""

from pathlib import Path

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec
from pipelines.shards.archive import Arrays


def check(batch: Arrays, spec: DataSpec, folder: Path) -> None:
    low, high = int(batch["x"].min()), int(batch["x"].max())
    if high > spec.top:
        raise DataError(f"{folder}: a pixel must be from 0 to {spec.top}, got {high}; run `ddpm prepare` again")
    if low == high:
        raise DataError(
            f"{folder}: the pictures must differ, but every pixel of the first {len(batch['x'])} is {low}; look at the "
            "pictures in data/prepared"
        )
