"""A split of pictures as measures look at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ddpm_core.pseudo_classes import has_pseudo_classes
from ddpm_core.spec import DataSpec, attributes_in, labels_in
from pipelines.shards.archive import Split


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Pictures with their labels and attributes, -1 for none, and keys. To measures a pseudo-class is none."""

    images: NDArray[np.uint8]  # [N, C, H, W]
    labels: NDArray[np.int64]  # [N]
    keys: list[str]
    attributes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)  # each [N]

    @classmethod
    def of(cls, split: Split, spec: DataSpec) -> "ImageSplit":
        cond = {} if has_pseudo_classes(spec) else split.cond
        labels = labels_in(spec, cond, len(split))
        return cls(split.x, labels, split.keys, attributes_in(spec, split.cond))
