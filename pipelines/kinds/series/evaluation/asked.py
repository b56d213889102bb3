"""Which windows of the test split are judged, and what the network is told of them."""

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.labels import asked_rows
from ddpm_core.spec import DataSpec
from pipelines.kinds.kind import Asked
from pipelines.kinds.series.evaluation.config import SeriesEvaluateConfig
from pipelines.shards.archive import Arrays, Split, rows_of


def asked_of(test: Split, spec: DataSpec, config: SeriesEvaluateConfig) -> Asked:
    """`samples_each` samples of each window, one window after the other, in the order of the test split."""
    rows = np.sort(asked_rows(len(test), min(config.samples(len(test)), len(test)), config.seed))
    told = _told(rows_of(test.arrays, rows), config)
    each = np.repeat(np.arange(len(rows)), config.samples_each)
    return Asked(rows[each], {name: told[name][each] for name in spec.conditions})


def _told(windows: Arrays, config: SeriesEvaluateConfig) -> Arrays:
    """To forecast, all of the history; to fill, what the masks leave of the values that are there."""
    if "told" not in windows:
        return windows
    from pipelines.kinds.series.training.masks import HELD_OUT, masked

    assert config.masks is not None
    return masked(config.masks, windows, config.seed, HELD_OUT)


def in_windows(rows: NDArray[np.int64], each: int) -> NDArray[np.int64]:
    """The windows of samples in the order of `asked_of`."""
    return rows[::each]
