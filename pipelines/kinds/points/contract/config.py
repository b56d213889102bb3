"""The thresholds of the contract of points."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, at_least_1, not_negative
from pipelines.contract.config import ContractConfig


@dataclass(frozen=True)
class PointsContract(ContractConfig):
    """What the points must keep, or nothing is trained on them."""

    min_train_points: int
    min_test_points: int
    min_train_points_per_class: int
    min_test_points_per_class: int
    max_deviations: float

    __checks__: ClassVar[Checks] = {
        **ContractConfig.__checks__,
        "min_train_points": at_least_1,
        "min_test_points": not_negative,
        "min_train_points_per_class": not_negative,
        "min_test_points_per_class": not_negative,
        "max_deviations": at_least_1,
    }
