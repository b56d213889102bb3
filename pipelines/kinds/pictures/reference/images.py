"""A split of pictures as measures look at it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.pseudo_classes import has_pseudo_classes
from ddpm_core.spec import DataSpec, labels_in
from pipelines.shards.archive import Split


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Pictures with their labels, -1 for none, and keys. To measures a pseudo-class is none."""

    images: NDArray[np.uint8]  # [N, C, H, W]
    labels: NDArray[np.int64]  # [N]
    keys: list[str]

    @classmethod
    def of(cls, split: Split, spec: DataSpec) -> "ImageSplit":
        cond = {} if has_pseudo_classes(spec) else split.cond
        return cls(split.x, labels_in(spec, cond, len(split)), split.keys)
