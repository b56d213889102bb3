"""What the contract looks at of all windows together, and what mends a breach."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.spec import DataSpec
from pipelines.kinds.series.rows.row import WindowRow


def data_set_columns(rows: Sequence[WindowRow]) -> Mapping[str, Any]:
    """`leaking`: test windows with a target that a training window holds, as a history or as a target."""
    ends: dict[str, int] = defaultdict(lambda: -(2**62))
    for row in rows:
        if row.split == "train":
            ends[row.series] = max(ends[row.series], row.end)
    train = Counter(row.series for row in rows if row.split == "train")
    return {
        "leaking": sum(row.target < ends[row.series] for row in rows if row.split == "test"),
        "fewest_train_windows": min((train[name] for name in {row.series for row in rows}), default=0),
    }


def cure(broken: Collection[str], rows: Sequence[WindowRow], spec: DataSpec, folder: Path) -> str:
    """What mends a breach in these columns of the manifest: of values far from all others it names the farthest."""
    mend = "mend or leave out those rows of the data"
    if "deviations" not in broken or not rows or spec.scaling is None:
        return mend
    row = max(rows, key=lambda each: each.deviations)
    with np.load(folder / row.path, allow_pickle=False) as series:
        first, values, present = int(series["first"]), series["values"], series["present"]
    inside = slice(row.first - first, row.end - first)
    mean, std = spec.scaling.affine(np.array(row.label))
    away = np.where(present[:, inside] == 1, np.abs(values[:, inside] - mean[:, None]) / std[:, None], 0)
    column, step = (int(each) for each in np.unravel_index(away.argmax(), away.shape))
    value = values[column, inside][step]
    of = f" of series {row.series}" if row.series else ""
    return (
        f"{mend} (the farthest value is {value:g} in column {spec.about['columns'][column]!r}, {step} steps after "
        f"{row.start}{of}; where such a value stands for none, name it in source.missing as the CSV has it, such as "
        f"['{value:g}'], or write null in its place in Parquet)"
    )
