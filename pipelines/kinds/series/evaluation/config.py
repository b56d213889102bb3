"""What stage evaluate is asked to measure of series."""

from dataclasses import dataclass

from ddpm_core.metrics.config import EvaluateConfig


@dataclass(frozen=True)
class SeriesEvaluateConfig(EvaluateConfig):
    """The settings of each measure. Comments in params.yaml say it in words."""
