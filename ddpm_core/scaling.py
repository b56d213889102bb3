"""How data without levels are scaled for a network: a mean and a standard deviation, of all or of each class."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError


@dataclass(frozen=True)
class Scaling:
    """x = (value - mean) / std, with a mean and a standard deviation for each entry of the first axis.

    `of_class`, where there is any, has another one for each class of the label; these hold where no class is told.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    of_class: tuple["Scaling", ...] = ()

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(0 < each < math.inf for each in self.std):
            raise DataError(f"Scaling: must have as many stds as means, each above 0, got {self.mean} and {self.std}")
        if any(len(each.mean) != len(self.mean) for each in self.of_class):
            raise DataError(f"Scaling.of_class: each must have {len(self.mean)} means, got {self.of_class}")

    def affine(self, labels: NDArray[np.int64] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation, [entries] or, by the labels [n] of data, [n, entries]."""
        if not self.of_class:
            return np.array(self.mean), np.array(self.std)
        each = [*self.of_class, self]
        which = len(self.of_class) if labels is None else labels
        return np.array([one.mean for one in each])[which], np.array([one.std for one in each])[which]

    def to_dict(self) -> dict[str, Any]:
        classes = {"of_class": [each.to_dict() for each in self.of_class]} if self.of_class else {}
        return {"mean": self.mean, "std": self.std, **classes}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Scaling":
        classes = tuple(cls.from_dict(each) for each in value.get("of_class", ()))
        return cls(tuple(value["mean"]), tuple(value["std"]), classes)
