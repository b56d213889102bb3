"""A look at the first batch of windows, before any step."""

from pathlib import Path

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec
from pipelines.shards.archive import PRESENT, Arrays


def check(batch: Arrays, spec: DataSpec, folder: Path) -> None:
    """Columns of one value, or of none, teach nothing."""
    for name, values, present in zip(
        spec.about["columns"], batch["x"].swapaxes(0, 1), batch[PRESENT].swapaxes(0, 1), strict=True
    ):
        known = values[present > 0]
        if not len(known) or (len(known) > 1 and (known == known[0]).all()):
            came = f"all are {known[0]:g}" if len(known) else "there is none"
            raise DataError(
                f"{folder}: the values of {name!r} in the first batch must differ, but {came}; look at the column in "
                "the source"
            )
