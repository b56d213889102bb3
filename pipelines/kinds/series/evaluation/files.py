"""The files of out/samples about series: fan charts, and tables by forecaster, step, column and level."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.calibration import between, gaps, pit_histogram
from ddpm_core.metrics.crps import fair_crps
from ddpm_core.metrics.ensemble import Ensemble
from ddpm_core.metrics.metric import Metric
from pipelines.kinds.series.evaluation.measures import RealSeries
from pipelines.kinds.series.reference.baselines import distances
from pipelines.kinds.series.reference.windows import time_of
from pipelines.kinds.series.rows.fan import LEVELS, Fan, png
from pipelines.kinds.series.rows.sample_files import (
    BINS,
    BY_COLUMN,
    BY_STEP,
    COVERAGE,
    FANS,
    FORECASTERS,
    MODEL,
    PIT,
    QUANTILES,
    plain_fan,
)
from pipelines.shards.archive import Split

Floats = NDArray[np.float64]

_SHOWN = 4  # windows of each sort
_MOST_ROWS = 200_000  # of a table
_OF_HISTORY = 3  # horizons that a fan shows of what was told
_FAN_LEVELS = np.linspace(0.0, 1.0, 21)  # their own quantiles at LEVELS are those of the samples


@dataclass(frozen=True, eq=False)
class Forecasters:
    """The model and the baselines on the same windows, with the measures of each."""

    real: RealSeries
    model: Ensemble
    measured: Mapping[str, Metric]
    scores: Mapping[str, Mapping[str, Metric]]
    test: Split  # the windows, as they are kept

    @cached_property
    def all(self) -> dict[str, Ensemble]:
        return {MODEL: self.model, **self.real.of_baselines}

    @cached_property
    def crps(self) -> dict[str, Floats]:
        """[windows, columns, steps], NaN where nothing counts."""
        return {name: np.where(of.counts, fair_crps(of.ordered, of.known), np.nan) for name, of in self.all.items()}

    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.real.spec.about["columns"]]


def files(of: Forecasters) -> dict[str, bytes]:
    shown = fans(of)
    return {
        "grid.png": png([fan for sort in shown.values() for fan in sort[:2]]),
        FANS: json.dumps({sort: [plain_fan(fan) for fan in each] for sort, each in shown.items()}).encode(),
        FORECASTERS: _forecasters(of),
        BY_STEP: _by_step(of),
        BY_COLUMN: _by_column(of),
        COVERAGE: _coverage(of),
        PIT: _pit(of),
        QUANTILES: _quantiles(of),
    }


# ---- fan charts


def fans(of: Forecasters) -> dict[str, list[Fan]]:
    """Windows whose CRPS is about the median, and those where it is largest; of each one column."""
    counts = of.model.counts.sum(axis=2)
    score = np.where(counts > 0, np.nansum(of.crps[MODEL], axis=2) / np.maximum(counts, 1), np.nan)
    column = np.where(np.isnan(score), -np.inf, score).argmax(axis=1)
    worst_of = score[np.arange(len(score)), column]
    order = np.argsort(worst_of, kind="stable")
    order = order[~np.isnan(worst_of[order])]
    middle = order[max(0, len(order) // 2 - _SHOWN // 2) :][:_SHOWN]
    return {
        "ordinary": [_fan(of, int(row), int(column[row])) for row in middle],
        "worst": [_fan(of, int(row), int(column[row])) for row in order[::-1][:_SHOWN]],
    }


def _fan(of: Forecasters, row: int, column: int) -> Fan:
    windows = of.real.windows
    mean, std = (part[row, column] for part in of.real.scaling)
    places, steps = windows.told.shape[2], windows.steps
    first = max(0, places - (1 + _OF_HISTORY) * steps)
    told = windows.told[row, column, first:] * std + mean
    truth, samples = np.full(len(told), np.nan), np.full((len(_FAN_LEVELS), len(told)), np.nan)
    truth[-steps:] = np.where(windows.asked[row, column], of.test.x[row, column], np.nan)
    quantiles = np.quantile(of.model.samples[row, :, column], _FAN_LEVELS, axis=0) * std + mean
    # A gap in data to impute is not asked for, so what a sample has there means nothing.
    gap = ~windows.asked[row, column] if of.real.spec.about["task"] == "impute" else ~np.isnan(told[-steps:])
    samples[:, -steps:] = np.where(gap, np.nan, quantiles)
    series = of.real.spec.classes[windows.label[row]] if of.real.spec.classes else ""
    title = f"{of.columns[column]}{' of ' if series else ''}{series}"
    ends = [time_of(of.test.keys[row], place, of.real.spec) for place in (first, places - 1)]
    return Fan(title, told, samples, truth, (ends[0], ends[1]))


# ---- tables


def _forecasters(of: Forecasters) -> bytes:
    names = list(of.measured)
    rows: list[Sequence[Any]] = [(MODEL, *(of.measured[name].value for name in names))]
    for baseline, measured in of.scores.items():
        rows.append((baseline, *(measured[name].value if name in measured else None for name in names)))
    return _csv(("forecaster", *names), rows)


def _by_step(of: Forecasters) -> bytes:
    """By the step of the horizon, or where values are filled in by the distance to the nearest told one."""
    place, asked = distances(of.real.windows), of.model.counts
    inside = {f"coverage_{level:.0%}".rstrip("%"): _inside(of.model, level) for level in (0.5, 0.9)}
    rows = []
    for step in np.unique(place[asked]):
        some = asked & (place == step)
        crps = [float(each[some].mean()) for each in of.crps.values()]
        rows.append((int(step), int(some.sum()), *crps, *(float(each[some].mean()) for each in inside.values())))
    return _csv(("step", "values", *of.crps, *inside), rows)


def _by_column(of: Forecasters) -> bytes:
    """In each column's own unit."""
    std, rows = of.real.scaling[1][:, :, None], []
    off = [np.abs(of.model.known - of.model.quantile(0.5)) * std, ((of.model.known - of.model.mean) * std) ** 2]
    crps_of = [each * std for each in of.crps.values()]
    for k, name in enumerate(of.columns):
        some = of.model.counts[:, k]
        if some.any():
            crps = [float(each[:, k][some].mean()) for each in crps_of]
            mae, rmse = float(off[0][:, k][some].mean()), float(np.sqrt(off[1][:, k][some].mean()))
            rows.append((name, int(some.sum()), *crps, mae, rmse))
    return _csv(("column", "values", *of.crps, "MAE of the median", "RMSE of the mean"), rows)


def _inside(of: Ensemble, level: float) -> Floats:
    return between(gaps(of), (1 - level) / 2, (1 + level) / 2)


def _coverage(of: Forecasters) -> bytes:
    sides = (of.model, of.all[of.real.best])
    levels = [0.1 * nth for nth in range(1, 10)]
    rows = [(f"{level:.1f}", *(each.ratio(_inside(each, level)).value for each in sides)) for level in levels]
    return _csv(("level", MODEL, of.real.best), rows)


def _pit(of: Forecasters) -> bytes:
    heights = [pit_histogram(each, BINS) for each in (of.model, of.all[of.real.best])]
    return _csv(("from", MODEL, of.real.best), [(nth / BINS, *(float(h[nth]) for h in heights)) for nth in range(BINS)])


def _quantiles(of: Forecasters) -> bytes:
    """Of every value that was asked for, in the data's own unit; of very many the first."""
    mean, std = (part[:, :, None] for part in of.real.scaling)
    asked = np.argwhere(of.model.counts)[:_MOST_ROWS]
    values = [of.model.quantile(level) * std + mean for level in LEVELS]
    rows = (
        (of.test.keys[w], of.columns[k], h + 1, float(of.test.x[w, k, h]), *(float(each[w, k, h]) for each in values))
        for w, k, h in asked.tolist()
    )
    return _csv(("window", "column", "step", "truth", *(f"q{level:g}" for level in LEVELS)), rows)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue().encode()
