"""Grids of cases of which the quick list runs the corners and `make test-all` every one."""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import pytest


def grid(quick: Collection[tuple[Any, ...]], *axes: Sequence[Any]) -> list[Any]:
    """Every combination of the axes, as cases of `parametrize`; those that `quick` does not list are slow."""
    points = list(product(*axes))
    assert all(point in points for point in quick)
    return [
        pytest.param(
            *point,
            marks=() if point in quick else pytest.mark.slow,
            id="-".join(str(getattr(value, "kind", value)) for value in point),
        )
        for point in points
    ]
