"""From a source to points.csv and its manifest."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.files import sha256_bytes
from ddpm_core.scaling import Scaling
from ddpm_core.spec import labelled
from pipelines.kinds.points.rows.table import TABLE, PointRow, table_bytes
from pipelines.kinds.prepared import Prepared, assemble
from pipelines.kinds.split import SplitConfig

if TYPE_CHECKING:
    from pipelines.kinds.points.sources import SourceConfig


def prepare(source: "SourceConfig", split: SplitConfig, folder: Path, root: Path) -> Prepared:
    found = source.listing(root)
    spec = replace(labelled((2,), None, None, found.classes), kind="points")
    prepared = assemble(found.outcomes, lambda _key, _label, _point: (TABLE, ""), PointRow, spec, split)
    rows = prepared.manifest.rows
    if not rows:
        return prepared
    data, scaling = table_bytes(rows), _scaling(rows)
    (folder / TABLE).write_bytes(data)
    spec = replace(spec, scaling=scaling)
    out = np.abs(spec.encode(_points(rows)).astype(np.float64)).max(axis=1).round(3).tolist()
    digest = sha256_bytes(data)
    rows = [replace(row, sha256=digest, deviations=far) for row, far in zip(rows, out, strict=True)]
    return replace(prepared, manifest=replace(prepared.manifest, rows=rows, spec=spec))


def _points(rows: Sequence[PointRow]) -> NDArray[np.float64]:
    return np.array([(row.x, row.y) for row in rows])


def _scaling(rows: Sequence[PointRow]) -> Scaling:
    """The mean and the standard deviation of the training points along each axis."""
    points = _points([row for row in rows if row.split == "train"] or rows)
    mean, std = points.mean(axis=0), points.std(axis=0)
    for axis, same in zip("xy", std == 0, strict=True):
        if same:
            raise DataError(
                f"source.{axis}: the training points must differ along {axis}, but all {len(points)} have one value; "
                "name another column, or give more points"
            )
    return Scaling(tuple(mean.tolist()), tuple(std.tolist()))
