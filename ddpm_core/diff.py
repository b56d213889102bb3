"""Nested records held against each other."""

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = object()


def unequal(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name and both values of each leaf that two records do not share; ABSENT where one has none."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in [*one, *(name for name in other if name not in one)]:
            dotted = f"{where}.{name}" if where else str(name)
            yield from unequal(one.get(name, ABSENT), other.get(name, ABSENT), dotted)
    elif one != other:
        yield where, one, other
