"""Series judged without a training: their samples come from the exact distribution of an AR(1)."""

from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from ddpm_core.gate.config import SeriesGate
from ddpm_core.gate.verdict import Verdict, verdict
from ddpm_core.metrics.golden import golden_metric
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.measurement import Measurement, recorded
from ddpm_core.metrics.metric import Metric, flat
from ddpm_core.spec import LABEL, DataSpec
from pipelines.evaluation.evaluation import Measured
from pipelines.kinds import kind_of
from pipelines.kinds.kind import SampleConditions
from pipelines.kinds.series.evaluation.asked import asked_of
from pipelines.kinds.series.evaluation.config import SeriesEvaluateConfig
from pipelines.kinds.series.reference.build import of_windows
from pipelines.kinds.series.reference.config import ReferenceConfig
from pipelines.kinds.series.reference.windows import Windows
from pipelines.kinds.series.training.masks import BlockMask, ForecastMask, MaskConfig, PatternMask, RandomMask
from pipelines.shards.archive import Split, rows_of
from tests.support.ar_series import FORECAST, IMPUTE, oracle, split

CONFIG = SeriesEvaluateConfig(
    n="test", n_most=None, seed=0, batch_size=64, engine="onnxruntime", steps=None, guidance=None, floor_draws=1,
    resamples=100, confidence=0.95, samples_each=30, masks=None,
)  # fmt: skip


GATE = SeriesGate(
    model_name=None, min_samples=30, max_golden_difference=0.1, max_unseen_controls=0, max_champion_loss=0.02,
    absolute=(), min_skill=0.03, max_coverage_error=0.1, max_dispersion_error=0.4, max_broken=0.0,
)  # fmt: skip


TASKS = {"forecast": FORECAST, "impute": IMPUTE}


MASKS = MaskConfig(
    random=RandomMask(0.4, 0.2, 0.6),
    block=BlockMask(0.3, 2, 8),
    forecast=ForecastMask(0.2, 2, 6),
    pattern=PatternMask(0.1),
)


CONFIGS = {"forecast": CONFIG, "impute": replace(CONFIG, masks=MASKS)}


@dataclass(frozen=True)
class Judged:
    """Samples of a spec's test split, measured and judged."""

    asked: SampleConditions
    told: np.ndarray
    measured: Measured
    measurement: Measurement
    verdict: Verdict


@cache
def data(task: str) -> tuple[Split, Split]:
    spec = TASKS[task]
    return split(spec, 250, 1)[0], split(spec, 120, 2, "2021-01-01T00:00:00")[0]


def judged(task: str, changed: Any = None, spread: float = 1.0, seed: int = 0, config: Any = None) -> Judged:
    """By the oracle's samples, after `changed` was done to them [windows, m, columns, steps]."""
    return judged_of(TASKS[task], data(task), config or CONFIGS[task], changed, spread, seed)


def judged_of(
    spec: DataSpec, splits: tuple[Split, Split], config: Any, changed: Any = None, spread: float = 1.0, seed: int = 0
) -> Judged:
    train, test = splits
    asked = asked_of(test, spec, config)
    each = config.samples_each
    rows = asked.rows[::each]
    chosen = Split(rows_of(test.arrays, rows), [test.keys[row] for row in rows])
    told = Windows.of(chosen, spec, {name: value[::each] for name, value in asked.cond.items()}).told
    x = oracle(spec, told, each, seed, spread)
    if LABEL in asked.cond:
        x = spec.decode(spec.encode(x), asked.cond[LABEL])
    if changed is not None:
        x = changed(x.reshape(len(told), each, *spec.shape)).reshape(x.shape).astype(np.float32)
    content, files = of_windows(Windows.of(train, spec), spec, ReferenceConfig("auto", 0))
    of: Any = SimpleNamespace(
        x=x, cond=asked.cond, rows=asked.rows, train=train, test=test, spec=spec, config=config,
        reference=SimpleNamespace(content=content, files=files),
        sampler=SimpleNamespace(bundle=SimpleNamespace(spec=spec)),
    )  # fmt: skip
    measured = kind_of("series").measure(of)
    metrics = [*measured.metrics, golden_metric(0.0), Metric("n_heldout", "", value=len(test))]
    conditions = {**measured.conditions, "settings": config.compared(), "resampling": RESAMPLING}
    record = {
        "conditions": conditions,
        "provenance": {"bundle": "b"},
        **recorded(metrics),
        "controls": measured.controls,
    }
    measurement = Measurement(flat(metrics, config.confidence), record)
    return Judged(asked, told, measured, measurement, verdict(measurement.metrics, record, GATE))


@cache
def exact(task: str) -> Judged:
    return judged(task)
