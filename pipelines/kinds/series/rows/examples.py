"""The prepared windows on their way into shards, from files that have the manifest's digests."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec, conditions_of
from pipelines.kinds.manifest import read_file
from pipelines.kinds.series.rows.row import WindowRow
from pipelines.kinds.series.rows.static import StaticFeatures
from pipelines.kinds.series.rows.told import as_told
from pipelines.shards.archive import Example

Arrays = dict[str, NDArray[Any]]


def examples(folder: Path, rows: Sequence[WindowRow], spec: DataSpec) -> Iterator[Example]:
    files: dict[str, Arrays] = {}
    for row in rows:
        if row.path not in files:
            with np.load(io.BytesIO(read_file(folder, row)), allow_pickle=False) as arrays:
                files[row.path] = dict(arrays)
        yield Example(row.key, _arrays(files[row.path], row, spec))


def _arrays(series: Arrays, row: WindowRow, spec: DataSpec) -> Arrays:
    """`x`, `present` and the conditions of one window."""
    start, target, end = (int(step - series["first"]) for step in (row.first, row.target, row.end))
    values, known = series["values"], series["present"]
    x, present = values[:, target:end], known[:, target:end]
    cond = {name: value[0] for name, value in conditions_of(spec, np.array([row.label])).items()}
    if "history" in spec.conditions:
        cond["history"], cond["seen"] = as_told(spec, values[:, start:target], known[:, start:target], row.label)
    else:
        cond["observed"], cond["told"] = as_told(spec, x, present, row.label)
    if "calendar" in spec.conditions:
        cond["calendar"] = series["calendar"][:, start:end]
    if "static" in spec.conditions:
        cond["static"] = StaticFeatures.from_spec(spec).of_series(row.label)
    return {"x": x, "present": present, **{name: cond[name] for name in spec.conditions}}
