"""What a bundle says of a student: a network that was trained to answer as another bundle's network does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Student:
    """Its teacher, the guidance that its answers hold already, and the one sampler it is valid for, if there is one."""

    teacher: str
    """The digest of the teacher's bundle."""
    guidance: Mapping[str, Any]
    """Weight, interval and rescale, as in a GuidanceConfig."""
    sampler: Mapping[str, Any] | None
    """Kind, levels and bound; None: any sampler."""
