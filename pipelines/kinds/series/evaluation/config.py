"""What stage evaluate is asked to measure of series."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks
from ddpm_core.metrics.config import EvaluateConfig
from pipelines.kinds.series.training.masks import MaskConfig


@dataclass(frozen=True)
class SeriesEvaluateConfig(EvaluateConfig):
    """`n` counts windows, of which each gets `samples_each` samples. Comments in params.yaml say it in words."""

    samples_each: int
    masks: MaskConfig | None

    __checks__: ClassVar[Checks] = {
        **EvaluateConfig.__checks__,
        "samples_each": (lambda v: v >= 10, "at least 10"),
    }
