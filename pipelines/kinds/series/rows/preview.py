"""Previews of a training: some windows, what the network was told of them, and the fan of its samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import LABEL, DataSpec
from pipelines.kinds.series.rows.fan import Fan, png

_WINDOWS, _COLUMNS = 2, 2


def conditions(examples: Mapping[str, NDArray[Any]], spec: DataSpec, n: int) -> dict[str, NDArray[Any]]:
    """What is told of n samples, the same number of each of a few windows; to fill, the middle third is not told."""
    rows = np.linspace(0, len(examples["x"]) - 1, _WINDOWS).astype(np.int64)[np.arange(n) * _WINDOWS // n]
    told = {name: examples[name][rows].copy() for name in spec.conditions}
    if "told" in told:
        steps = spec.shape[1]
        told["told"][:, :, steps // 3 : -(-2 * steps // 3)] = 0
        told["observed"] = np.where(told["told"] > 0, told["observed"], np.float32(0))
    return told


def preview(samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], spec: DataSpec) -> bytes:
    """A PNG with a fan for each window and column."""
    size = len(samples) // _WINDOWS
    parts = [slice(start, start + size) for start in range(0, size * _WINDOWS, size)]
    return png(
        [
            _fan(samples[part], {name: values[part.start] for name, values in cond.items()}, column, spec)
            for part in parts
            for column in range(min(_COLUMNS, spec.shape[0]))
        ]
    )


def _fan(samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], column: int, spec: DataSpec) -> Fan:
    names = ("history", "seen") if "history" in cond else ("observed", "told")
    known = cond[names[1]] > 0
    told = np.where(known, spec.decode(cond[names[0]], cond.get(LABEL)), np.nan)[column]
    title = str(spec.about["columns"][column])
    if "history" in cond:
        return Fan.forecast(title, told, samples[:, column])
    return Fan(title, told, np.where(known[column], np.nan, samples[:, column]))
