"""What stage evaluate is asked to measure of points."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, at_least_1, open_fraction
from ddpm_core.metrics.config import EvaluateConfig


@dataclass(frozen=True)
class PointsEvaluateConfig(EvaluateConfig):
    """The settings of each measure. Comments in params.yaml say it in words."""

    directions: int
    copy_quantile: float
    copy_ratio: float

    __checks__: ClassVar[Checks] = {
        **EvaluateConfig.__checks__,
        "directions": at_least_1,
        "copy_quantile": open_fraction,
        "copy_ratio": open_fraction,
    }
