"""The measures of series, of the model's samples, of baselines and of controls alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.calibration import calibration
from ddpm_core.metrics.crps import CRPS, mean_crps, skill_against
from ddpm_core.metrics.energy_score import ENERGY_SCORE, mean_energy_score
from ddpm_core.metrics.ensemble import Ensemble, Ratio, Weighings
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.metric import Metric, Rule
from ddpm_core.metrics.point_errors import point_errors
from ddpm_core.metrics.quantile_loss import SQL, WQL, quantile_losses, scaled, weighted
from ddpm_core.scaling import Scaling
from ddpm_core.spec import DataSpec
from pipelines.kinds.series.evaluation.config import SeriesEvaluateConfig
from pipelines.kinds.series.reference.baselines import Baseline
from pipelines.kinds.series.reference.windows import Rows, Windows

Floats = NDArray[np.float64]

BROKEN = Metric(
    "broken_share",
    "values of the samples that are not finite, or differ from a value that was told",
    "lower",
    rule=Rule("absolute", "max_broken", "whole", "{value:.2%} of the values are not finite or differ from told ones"),
    share=True,
)
WHAT = {"forecast": ("forecasts", "forecasts well"), "impute": ("values filled in", "fills gaps well")}
"""What the samples of a task are called, and what is asked of them."""


@dataclass(frozen=True, eq=False)
class RealSeries:
    """Windows of the test split, with what any number of sets of samples of them are measured by."""

    windows: Windows
    blocks: Rows  # of each window
    seasonal_errors: Floats  # [series, columns]
    baselines: Mapping[str, Baseline]
    spec: DataSpec
    config: SeriesEvaluateConfig

    @cached_property
    def weighings(self) -> Weighings:
        return Weighings.of(self.blocks, Resampling(self.config.resamples, self.config.seed, self.config.confidence))

    @property
    def scaling(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each column, [windows, columns]."""
        shape = len(self.windows), self.spec.channels
        mean, std = (self.spec.scaling or Scaling((0.0,), (1.0,))).affine(self.windows.label)
        return np.broadcast_to(mean, shape), np.broadcast_to(std, shape)

    @cached_property
    def of_baselines(self) -> dict[str, Ensemble]:
        """As many samples of each baseline as the model has, of the same windows."""
        found = {}
        for name, baseline in self.baselines.items():
            rng = np.random.Generator(np.random.Philox(key=[self.config.seed, len(self.windows)]))
            found[name] = self.ensemble(baseline.samples(self.windows, self.config.samples_each, rng))
        return found

    @cached_property
    def baseline_crps(self) -> dict[str, Ratio]:
        return {name: mean_crps(of) for name, of in self.of_baselines.items()}

    @cached_property
    def best(self) -> str:
        """The baseline with the least CRPS."""
        return min(self.baseline_crps, key=lambda name: self.baseline_crps[name].value)

    def ensemble(self, samples: Floats) -> Ensemble:
        """Samples [windows, m, columns, steps], in standard deviations, beside the truth."""
        return Ensemble(samples, self.windows.truth, self.windows.asked)

    def measures(self, of: Ensemble) -> Iterator[Metric]:
        """All but the skill, of samples of whatever origin."""
        weighings, losses = self.weighings, quantile_losses(of)
        errors = self.seasonal_errors[self.windows.label]
        yield weighings.measured(CRPS, mean_crps(of))
        yield weighings.measured(ENERGY_SCORE, mean_energy_score(of))
        yield from calibration(of, weighings)
        yield from point_errors(of, errors, weighings)
        for metric, ratios in (
            (WQL, weighted(of, losses, *self.scaling)),
            (SQL, scaled(of, losses, errors)),
        ):
            if ratios:
                yield weighings.mean(metric, ratios)

    def skill(self, of: Ensemble) -> Metric:
        """By how much the CRPS is below the best baseline's."""
        crps, its = mean_crps(of), self.baseline_crps[self.best]
        what, asks = WHAT[self.spec.about["task"]]
        metric = skill_against(self.best, 1.0 - crps.value / its.value, what, asks)
        return self.weighings.measured(metric, Ratio(crps.over, its.over), scale=-1.0, shift=1.0)

    def floors(self, of_best: Mapping[str, Metric], measured: Mapping[str, Metric]) -> Iterator[Metric]:
        """What the best baseline scores by each measure."""
        for metric in measured.values():
            if metric.floor and metric.name in of_best:
                yield Metric(
                    metric.floor, f"the same of the best baseline, {self.best}", value=of_best[metric.name].value
                )

    def judged(self, samples: Floats) -> Iterator[Metric]:
        """What the gate's rules look at, of a control."""
        of = self.ensemble(samples)
        yield self.skill(of)
        yield from calibration(of, self.weighings)

    def counted(self) -> Iterator[Metric]:
        """How much there is to judge by."""
        yield Metric(
            "n", "windows apart in time", tile=("windows apart in time", "g"), value=len(np.unique(self.blocks))
        )
        yield Metric("windows", "windows judged", value=len(self.windows))
        yield Metric("values", "values judged, which are there and were not told", value=int(self.windows.asked.sum()))
        yield Metric("samples_each", "samples of each window", value=self.config.samples_each)


def broken(samples: NDArray[np.float32], told: NDArray[np.float32]) -> Metric:
    """Of samples [windows, m, columns, steps] and what was told of them, NaN elsewhere [windows, columns, steps]."""
    wrong = ~np.isfinite(samples)
    wrong |= ~np.isnan(told)[:, None] & (samples != told[:, None])
    return BROKEN.measured(float(wrong.mean()))


def without_rules(metrics: Iterator[Metric]) -> dict[str, Metric]:
    return {metric.name: replace(metric, rule=None) for metric in metrics}
