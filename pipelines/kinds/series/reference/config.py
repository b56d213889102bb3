"""What stage reference is asked for."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, not_negative


@dataclass(frozen=True)
class ReferenceConfig(Config):
    """The season of the seasonal naive forecast, in steps, and the seed of the baselines' errors."""

    season: int | Literal["auto"]
    seed: int

    __checks__: ClassVar[Checks] = {
        "season": (lambda v: v == "auto" or v >= 1, "auto, or a number of steps of at least 1"),
        "seed": not_negative,
    }
