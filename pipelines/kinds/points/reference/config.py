"""What stage reference is asked for."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, Config


@dataclass(frozen=True)
class ReferenceConfig(Config):
    """How many points each control has."""

    control_points: int

    __checks__: ClassVar[Checks] = {"control_points": (lambda v: v >= 20, "at least 20")}
