"""Kinds of data: one folder a kind. What is true of one kind alone lies there; measures that need numpy alone
are in ddpm_core/metrics.

A new kind is a folder with a class of `kind.Kind`, and its name in `KINDS`.
"""

from collections.abc import Mapping

from ddpm_core.errors import DataError
from pipelines.kinds.kind import Kind
from pipelines.kinds.pictures import Pictures
from pipelines.kinds.points import Points
from pipelines.kinds.series import Series

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (Pictures(), Points(), Series())}


def kind_of(name: str) -> Kind:
    """A kind by its name: `kind` in params.yaml, and `kind` of every DataSpec."""
    if name not in KINDS:
        raise DataError(f"kind: must be one of {', '.join(KINDS)}, got {name!r}")
    return KINDS[name]
