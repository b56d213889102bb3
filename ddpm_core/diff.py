"""Compare nested records."""

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = object()


def unequal(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted name and both values of each leaf in which two records differ; ABSENT for a missing one."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in [*one, *(name for name in other if name not in one)]:
            dotted = f"{where}.{name}" if where else str(name)
            yield from unequal(one.get(name, ABSENT), other.get(name, ABSENT), dotted)
    elif one != other:
        yield where, one, other
