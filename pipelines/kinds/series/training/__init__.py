"""Series in training: what an imputing network is told of a window, and a look at the first batch."""

from dataclasses import dataclass

from ddpm_core.checks import Config
from pipelines.kinds.series.training.masks import MaskConfig


@dataclass(frozen=True)
class AugmentConfig(Config):
    """What windows to impute are told of; null for windows to forecast, which are told all of their history."""

    masks: MaskConfig | None
