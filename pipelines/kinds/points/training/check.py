"""A look at the first batch of points, before any step."""

from pathlib import Path

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec
from pipelines.shards.archive import Arrays


def check(batch: Arrays, spec: DataSpec, folder: Path) -> None:
    """Points that all lie in one place teach nothing."""
    points = batch["x"]
    if len(points) > 1 and (points == points[0]).all():
        raise DataError(
            f"{folder}: the points of the first batch must differ, but all {len(points)} lie at "
            f"{', '.join(f'{value:g}' for value in points[0])}; look at the columns that section source names"
        )
