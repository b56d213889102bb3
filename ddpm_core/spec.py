"""What one datum is: its shape, its range, its levels, its conditions. The only place that knows 3, 32 or 255."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


LABEL = "label"  # what the condition is called that says a datum's class


@dataclass(frozen=True)
class Condition:
    """What a network is told of each datum beside the datum: an array of this shape, by its name in the DataSpec.

    `classes` names the values where they are classes. `null` is the value for "not told"; None: it must be told.
    """

    shape: tuple[int, ...]
    dtype: Literal["int64", "float32"]
    classes: tuple[str, ...]
    null: int | float | None

    def __post_init__(self) -> None:
        if self.dtype not in ("int64", "float32"):
            raise DataError(f"Condition.dtype: must be int64 or float32, got {self.dtype!r}")
        if self.classes and (self.shape or self.dtype != "int64"):
            raise DataError(
                f"Condition.classes: a class is one int64 a datum, got {self.dtype} of the shape {self.shape}"
            )

    @classmethod
    def of_classes(cls, names: Iterable[str]) -> "Condition":
        """One class a datum; the number of classes stands for none."""
        classes = tuple(names)
        return cls((), "int64", classes, len(classes))

    def to_dict(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype, "classes": list(self.classes), "null": self.null}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Condition":
        return cls(tuple(value["shape"]), value["dtype"], tuple(value["classes"]), value["null"])


@dataclass(frozen=True)
class DataSpec:
    """What the network sees, and what it is told beside it, by name.

    `range` and `levels` are None for data that are no pictures (latents, series).
    """

    shape: tuple[int, ...]
    range: tuple[float, float] | None
    levels: int | None
    conditions: Mapping[str, Condition]

    def __post_init__(self) -> None:
        if not self.shape or any(side < 1 for side in self.shape):
            raise DataError(f"DataSpec.shape: every side must be at least 1, got {self.shape}")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise DataError(f"DataSpec.range: must be two finite numbers that rise, got {self.range}")
        if self.levels is not None and (self.levels < 2 or self.range is None):
            raise DataError(
                f"DataSpec.levels: needs at least 2 levels and a range, got levels={self.levels}, range={self.range}"
            )

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of the condition `label`; none where there is no such condition."""
        return self.conditions[LABEL].classes if LABEL in self.conditions else ()

    @property
    def null(self) -> dict[str, int | float]:
        """The value for "not told" of each condition that need not be told."""
        return {name: condition.null for name, condition in self.conditions.items() if condition.null is not None}

    def told(self, names: Iterable[str]) -> "DataSpec":
        """The same data for a network that is told these conditions and no other."""
        return replace(self, conditions={name: self.conditions[name] for name in names})

    @property
    def top(self) -> int:
        """The highest level of a picture's values."""
        return self._ends()[2]

    @property
    def mode(self) -> str:
        """Pillow's name for pictures of so many channels."""
        if len(self.shape) != 3 or self.channels not in _MODES:
            raise DataError(f"a picture has the shape (1 to 4, height, width), got {self.shape}")
        return _MODES[self.channels]

    def encode(self, k: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Levels to the range: x = 2 k / (levels - 1) - 1 where the range is (-1, 1)."""
        low, high, top = self._ends()
        if not np.issubdtype(k.dtype, np.integer):
            raise DataError(
                f"levels: must be whole numbers from 0 to {top}, got {k.dtype}; data in the range are encoded"
            )
        if k.size and (k.dtype != np.uint8 or top < 255) and not 0 <= int(k.min()) <= int(k.max()) <= top:
            raise DataError(f"levels: must be from 0 to {top}, got {int(k.min())} to {int(k.max())}")
        return (k.astype(np.float32) * np.float32((high - low) / top) + np.float32(low)).astype(np.float32)

    def decode(self, x: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The range back to levels, by rounding to nearest and clipping; what is no number is no level."""
        low, high, top = self._ends()
        if not np.isfinite(x).all():
            raise DataError("data: must be finite to have levels, got values that are not; look at the model's weights")
        k = np.rint((np.asarray(x, dtype=np.float64) - low) * (top / (high - low)))
        return np.clip(k, 0, top).astype(np.uint8)

    def _ends(self) -> tuple[float, float, int]:
        if self.range is None or self.levels is None:
            raise DataError("only data with a range and levels can be encoded as levels; this DataSpec has none")
        if self.levels > 256:
            raise DataError(f"only data of at most 256 levels are kept as bytes, this DataSpec has {self.levels}")
        return self.range[0], self.range[1], self.levels - 1

    def to_dict(self) -> dict[str, Any]:
        return {
            "shape": list(self.shape),
            "range": None if self.range is None else list(self.range),
            "levels": self.levels,
            "conditions": {name: condition.to_dict() for name, condition in self.conditions.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "DataSpec":
        if "conditions" in value:
            conditions = {name: Condition.from_dict(each) for name, each in value["conditions"].items()}
        else:  # as it was when a label was the only condition there could be
            conditions = {LABEL: Condition.of_classes(value["classes"])} if value["classes"] else {}
        return cls(
            shape=tuple(value["shape"]),
            range=None if value["range"] is None else (value["range"][0], value["range"][1]),
            levels=value["levels"],
            conditions=conditions,
        )


def conditions_of(spec: DataSpec, labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """The conditions of data with these labels [n], -1 for none: as a network of this spec is told them."""
    return {LABEL: np.where(labels < 0, len(spec.classes), labels)} if LABEL in spec.conditions else {}


def labelled(
    shape: tuple[int, ...], range: tuple[float, float] | None, levels: int | None, classes: Iterable[str]
) -> DataSpec:
    """Data of which each has one of these classes as its condition `label`; without classes there is no condition."""
    names = tuple(classes)
    return DataSpec(shape, range, levels, {LABEL: Condition.of_classes(names)} if names else {})
