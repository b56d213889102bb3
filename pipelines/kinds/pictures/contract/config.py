"""The thresholds of the contract of pictures."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Check, Checks, at_least_1, fraction, not_negative
from ddpm_core.errors import ParamsError
from pipelines.contract.config import ContractConfig

_level: Check = (lambda v: 0 <= v <= 255, "a level between 0 and 255")


@dataclass(frozen=True)
class PicturesContract(ContractConfig):
    """What the pictures must keep, or nothing is trained on them."""

    min_train_images: int
    min_test_images: int
    min_train_images_per_class: int
    min_test_images_per_class: int
    max_near_duplicate_share: float
    max_flat_share: float
    min_mean_level: float
    max_mean_level: float

    __checks__: ClassVar[Checks] = {
        **ContractConfig.__checks__,
        "min_train_images": at_least_1,
        "min_test_images": not_negative,
        "min_train_images_per_class": not_negative,
        "min_test_images_per_class": not_negative,
        "max_near_duplicate_share": fraction,
        "max_flat_share": fraction,
        "min_mean_level": _level,
        "max_mean_level": _level,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_mean_level > self.max_mean_level:
            raise ParamsError(
                f"min_mean_level must be at most max_mean_level, got {self.min_mean_level} and {self.max_mean_level}"
            )
