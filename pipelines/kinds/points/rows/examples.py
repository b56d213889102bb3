"""The prepared points on their way into shards, from a table that has the manifest's digest."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ddpm_core.spec import DataSpec, conditions_of
from pipelines.kinds.manifest import read_file
from pipelines.kinds.points.rows.table import PointRow
from pipelines.shards.archive import Example


def examples(folder: Path, rows: Sequence[PointRow], spec: DataSpec) -> Iterator[Example]:
    if not rows:
        return
    table = csv.DictReader(io.StringIO(read_file(folder, rows[0]).decode()))
    points = {line["key"]: np.array([line["x"], line["y"]], dtype=np.float32) for line in table}
    for row in rows:
        cond = {name: value[0] for name, value in conditions_of(spec, np.array([row.label])).items()}
        yield Example(row.key, {"x": points[row.key], **cond})
