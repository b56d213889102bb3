"""The thresholds of the contract of series."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, at_least_1, fraction, not_negative
from pipelines.contract.config import ContractConfig


@dataclass(frozen=True)
class SeriesContract(ContractConfig):
    """What the series and their windows must keep, or nothing is trained on them."""

    min_train_windows: int
    min_test_windows: int
    min_train_windows_per_series: int
    max_missing_share: float
    max_gap_steps: int
    max_irregular_share: float
    max_backward_share: float
    max_constant_columns: int
    max_deviations: float

    __checks__: ClassVar[Checks] = {
        **ContractConfig.__checks__,
        "min_train_windows": at_least_1,
        "min_test_windows": at_least_1,
        "min_train_windows_per_series": not_negative,
        "max_missing_share": fraction,
        "max_gap_steps": not_negative,
        "max_irregular_share": fraction,
        "max_backward_share": fraction,
        "max_constant_columns": not_negative,
        "max_deviations": at_least_1,
    }
