"""Section `partition` of params.yaml."""

from dataclasses import dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, Config


@dataclass(frozen=True)
class PartitionConfig(Config):
    """About how many examples are prepared, kept and packed together; null = all of them in one piece."""

    pictures: int | None

    __checks__: ClassVar[Checks] = {"pictures": (lambda v: v is None or v >= 1, "null, or at least 1")}
