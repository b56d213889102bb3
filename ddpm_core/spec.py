"""What one datum is: its shape, its range, its levels, its labels. The only place that knows 3, 32 or 255."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class DataSpec:
    """What the network sees. `range` and `levels` are None for data that are no pictures (latents, series)."""

    shape: tuple[int, ...]
    range: tuple[float, float] | None
    levels: int | None
    classes: tuple[str, ...]

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
            "classes": list(self.classes),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "DataSpec":
        return cls(
            shape=tuple(value["shape"]),
            range=None if value["range"] is None else (value["range"][0], value["range"][1]),
            levels=value["levels"],
            classes=tuple(value["classes"]),
        )
