"""Ranges of configuration fields: one plain table a dataclass, used when it is made and by whoever reads many at once.

@dataclass(frozen=True)
class Split:
    test_fraction: float
    __checks__: ClassVar[Checks] = {"test_fraction": (lambda v: 0 < v < 1, "between 0 and 1, both excluded")}
    def __post_init__(self) -> None:
        run_checks(self)
"""

from collections.abc import Callable, Mapping
from typing import Any

from ddpm_core.errors import ParamsError

Check = tuple[Callable[[Any], bool], str]
Checks = Mapping[str, Check]


def failures(checks: Checks, values: Mapping[str, Any], where: str = "") -> list[str]:
    """A line for each value out of its range: dotted key, what must hold, what came."""
    lines = []
    for field, (holds, must) in checks.items():
        if field in values and not holds(values[field]):
            lines.append(f"{where}{field}: must be {must}, got {values[field]!r}")
    return lines


def run_checks(config: Any) -> None:
    """Raise one ParamsError that lists every field of a dataclass that is out of its range."""
    checks: Checks = type(config).__checks__
    lines = failures(checks, {field: getattr(config, field) for field in checks})
    if lines:
        raise ParamsError(f"{type(config).__name__}: " + "; ".join(lines))


at_least_1: Check = (lambda v: v >= 1, "at least 1")
not_negative: Check = (lambda v: v >= 0, "0 or more")
positive: Check = (lambda v: v > 0, "above 0")
fraction: Check = (lambda v: 0 <= v <= 1, "between 0 and 1")
open_fraction: Check = (lambda v: 0 < v < 1, "between 0 and 1, both excluded")
