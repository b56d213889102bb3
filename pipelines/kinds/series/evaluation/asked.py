"""Which windows of the test split are judged, and what the network is told of them."""

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import ParamsError
from ddpm_core.metrics.labels import asked_rows
from ddpm_core.spec import DataSpec
from pipelines.kinds.kind import SampleConditions
from pipelines.kinds.series.evaluation.config import SeriesEvaluateConfig
from pipelines.kinds.series.training.masks import HELD_OUT, masked
from pipelines.shards.archive import Arrays, Split, rows_of


def asked_of(test: Split, spec: DataSpec, config: SeriesEvaluateConfig) -> SampleConditions:
    """`samples_each` samples of each window, one window after the other, in the order of the test split."""
    rows = np.sort(asked_rows(len(test), min(config.samples(len(test)), len(test)), config.seed))
    told = _told(rows_of(test.arrays, rows), spec, config)
    each = np.repeat(np.arange(len(rows)), config.samples_each)
    return SampleConditions(rows[each], {name: told[name][each] for name in spec.conditions})


def _told(windows: Arrays, spec: DataSpec, config: SeriesEvaluateConfig) -> Arrays:
    """To forecast, all of the history; to impute, what the masks leave of the values that are there."""
    task = spec.about["task"]
    if (config.masks is None) != (task == "forecast"):
        wanted = "given where windows are to impute" if config.masks is None else "null where windows are to forecast"
        raise ParamsError(f"evaluate.masks: must be {wanted} (source.window.kind: {task}), got {config.masks}")
    if config.masks is None:
        return windows
    config.masks.check(spec, "evaluate.masks")
    return masked(config.masks, windows, config.seed, HELD_OUT)


def in_windows(rows: NDArray[np.int64], each: int) -> NDArray[np.int64]:
    """The windows of samples in the order of `asked_of`."""
    return rows[::each]
