"""Ranges of configuration fields: one table per dataclass, checked when it is made and by the parser of params.yaml.

@dataclass(frozen=True)
class Split(Config):
    test_fraction: float
    __checks__: ClassVar[Checks] = {"test_fraction": open_fraction}
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ddpm_core.errors import ParamsError

Check = tuple[Callable[[Any], bool], str]
Checks = Mapping[str, Check]


def failures(checks: Checks, values: Mapping[str, Any], where: str = "") -> list[str]:
    """A line for each value out of range: its dotted key, what must hold, the value."""
    lines = []
    for field, (holds, must) in checks.items():
        if field in values and not holds(values[field]):
            lines.append(f"{where}{field}: must be {must}, got {values[field]!r}")
    return lines


class Config:
    """Base of every configuration dataclass. Making one raises a ParamsError that lists each field out of its range."""

    __checks__: ClassVar[Checks] = {}

    def __post_init__(self) -> None:
        lines = failures(self.__checks__, {field: getattr(self, field) for field in self.__checks__}) or self.faults()
        if lines:
            raise ParamsError(f"{type(self).__name__}: " + "; ".join(lines))

    def faults(self) -> list[str]:
        """A line for each fault of several fields together; called when every field is in its range."""
        return []

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Translate the configuration that an older version stored with a model to today's keys."""
        return dict(kept)


at_least_1: Check = (lambda v: v >= 1, "at least 1")
not_negative: Check = (lambda v: v >= 0, "0 or more")
positive: Check = (lambda v: v > 0, "above 0")
fraction: Check = (lambda v: 0 <= v <= 1, "between 0 and 1")
open_fraction: Check = (lambda v: 0 < v < 1, "between 0 and 1, both excluded")
