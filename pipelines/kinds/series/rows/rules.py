"""What the contract looks at of all windows together."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

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
