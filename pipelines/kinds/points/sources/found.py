"""What a source gives: points that can be used, what cannot, and the classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ddpm_core.errors import DataError
from ddpm_core.files import sha256_bytes
from pipelines.kinds.prepared import Accepted
from pipelines.kinds.quarantine import Rejected


@dataclass(frozen=True)
class PointListing:
    """In the order of the source."""

    outcomes: Sequence[Accepted | Rejected]
    classes: tuple[str, ...]


def accepted(name: str, x: float, y: float, class_name: str | None) -> Accepted:
    """A point as float32. Equal points have equal contents; a key is of the values and the class."""
    with np.errstate(over="ignore"):
        point = np.array([x, y]).astype(np.float32) + np.float32(0)  # -0 and 0 are one place
    if not np.isfinite(point).all():
        raise DataError(f"must be finite as float32, got {x!r} and {y!r}")
    return Accepted(
        name=name,
        class_name=class_name,
        split=None,
        source_sha256=sha256_bytes(f"{x!r},{y!r},{class_name or ''}".encode()),
        content_sha256=sha256_bytes(point.astype("<f4").tobytes()),
        data=None,
        columns={"x": float(point[0]), "y": float(point[1]), "deviations": 0.0},  # known once all are
    )
