"""All that stage evaluate finds out about samples that are windows of series."""

from importlib.metadata import version
from typing import Any

import numpy as np

from ddpm_core.metrics.metric import Metric, flat
from pipelines.evaluation.evaluation import Evaluation, Measured
from pipelines.kinds.series.evaluation.asked import in_windows
from pipelines.kinds.series.evaluation.config import SeriesEvaluateConfig
from pipelines.kinds.series.evaluation.files import Forecasters, files
from pipelines.kinds.series.evaluation.measures import RealSeries, broken, without_rules
from pipelines.kinds.series.reference.build import baselines
from pipelines.kinds.series.reference.controls import controls
from pipelines.kinds.series.reference.windows import Windows, blocks
from pipelines.shards.archive import Split, rows_of


def measure(of: Evaluation) -> Measured:
    config: SeriesEvaluateConfig = of.config
    spec, each = of.spec, config.samples_each
    rows = in_windows(of.rows, each)
    test = Split(rows_of(of.test.arrays, rows), [of.test.keys[row] for row in rows])
    windows = Windows.of(test, spec, {name: value[::each] for name, value in of.cond.items()})
    train = Windows.of(of.train, spec)
    real = RealSeries(
        windows,
        blocks(test.keys, spec),
        np.array(of.reference.content["seasonal_errors"]),
        baselines(of.reference, train, spec),
        spec,
        config,
    )
    told = np.where(np.isnan(windows.told[:, :, -windows.steps :]), np.nan, test.x).astype(np.float32)
    samples = with_told(of.x.reshape(len(rows), each, *spec.shape), told)
    labels = np.repeat(windows.label, each)
    encoded = spec.encode(samples.reshape(of.x.shape), labels).reshape(samples.shape)
    ensemble = real.ensemble(encoded.astype(np.float64))
    measured = {metric.name: metric for metric in real.measures(ensemble)}
    scores = {name: without_rules(real.measures(its)) for name, its in real.of_baselines.items()}
    metrics = [
        real.skill(ensemble),
        *measured.values(),
        *real.floors(scores[real.best], measured),
        broken(samples, told),
        *real.counted(),
    ]
    forecasters = Forecasters(real, ensemble, measured, scores, test)
    return Measured(
        metrics=tuple(metrics),
        controls=score_controls(real, len(of.test)),
        conditions={
            "classes": len(spec.classes),
            "scaling": spec.to_dict()["scaling"],
            "task": spec.about["task"],
            "season": of.reference.content["season"],
            "versions": {"numpy": version("numpy")},
        },
        files=files(forecasters),
    )


def with_told(samples: np.ndarray[Any, Any], told: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Samples [windows, m, columns, steps] in which every value that was told is that value (`told`: NaN elsewhere)."""
    return np.where(np.isnan(told)[:, None], samples, told[:, None])


def score_controls(real: RealSeries, unseen: int) -> dict[str, dict[str, Any]]:
    """What the gate's rules look at of each control."""
    best = real.of_baselines[real.best].samples
    points = {name: each.point for name, each in real.baselines.items() if each.point is not None}
    point = points.get(real.best, next(iter(points.values())))(real.windows)
    climatology = real.of_baselines["climatology"].samples
    scored = {}
    for control in controls(real.windows, point, best, climatology, real.config.seed):
        metrics = [*real.judged(control.samples), *real.counted(), Metric("n_heldout", "", value=unseen)]
        numbers = flat(metrics, real.config.confidence)
        scored[control.name] = {"words": control.words, "gross": control.gross, "metrics": numbers}
    return scored
