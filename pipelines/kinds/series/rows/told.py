"""Values of a series as a network is told them. numpy alone, so serving can use it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec

Told = NDArray[np.float32]


def as_told(
    spec: DataSpec, values: NDArray[Any], known: NDArray[Any], labels: int | NDArray[np.int64] = -1
) -> tuple[Told, Told]:
    """Values in the data's unit as a network is told them: scaled, 0 where not known, and 1 where known.

    Of one window [columns, steps] with its label, or of many [n, columns, steps] with theirs [n]; -1 is no label.
    """
    known = np.asarray(known) > 0
    classes = np.where(np.asarray(labels) < 0, len(spec.classes), labels)
    return np.where(known, spec.encode(np.where(known, values, 0.0), classes), np.float32(0)), known.astype(np.float32)
