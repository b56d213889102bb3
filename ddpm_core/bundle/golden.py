"""The golden sample of a bundle: made when it was exported, to know a broken model or runtime by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import sha256_bytes
from ddpm_core.spec import LABEL

WITH_LABEL = 2
"""The format before: a golden sample had a label and no other condition, a DataSpec neither scaling nor kind."""
_GOLDEN_VALUES = 4096


@dataclass(frozen=True)
class Golden:
    """One sample that the model made when it was exported, to know a broken model or runtime by.

    `values` are of the decoded data: whole numbers for data with levels, float32 otherwise.
    """

    seed: int
    cond: Mapping[str, Any]
    sampler: Mapping[str, Any]
    sha256: str
    stride: int
    dtype: Literal["uint8", "float32"]
    values: tuple[float, ...]
    tolerance: float

    @classmethod
    def of(
        cls, sample: NDArray[Any], *, seed: int, cond: Mapping[str, Any], sampler: Mapping[str, Any], tolerance: float
    ) -> "Golden":
        """Keep the sample's digest and, of a big one, every so many-th value."""
        stride = -(-sample.size // _GOLDEN_VALUES)
        values = tuple(sample.reshape(-1)[::stride].tolist())
        dtype: Literal["uint8", "float32"] = "uint8" if sample.dtype == np.uint8 else "float32"
        return cls(seed, dict(cond), dict(sampler), _digest(sample), stride, dtype, values, tolerance)

    def compare(self, sample: NDArray[Any]) -> Literal["equal", "near", "different"]:
        """Equal to the byte; or near: the mean absolute difference is within the tolerance."""
        if _digest(sample) == self.sha256:
            return "equal"
        return "near" if self.difference(sample) <= self.tolerance else "different"

    def difference(self, sample: NDArray[Any]) -> float:
        """The mean absolute difference of the values that were kept (levels, if any); infinite for another size."""
        values = sample.reshape(-1)[:: self.stride].astype(np.float64)
        return float(np.abs(values - np.array(self.values)).mean()) if values.size == len(self.values) else float("inf")

    def to_dict(self, format: int) -> dict[str, Any]:
        """For bundle.json of this format."""
        values = np.array(self.values, dtype=self.dtype)
        content = {
            "seed": self.seed,
            "sampler": dict(self.sampler),
            "stride": self.stride,
            "values_hex": _little_endian(values).hex(),
            "tolerance": self.tolerance,
        }
        if format == WITH_LABEL:
            return {**content, "label": self.cond.get(LABEL), "pixels_sha256": self.sha256}
        return {**content, "cond": dict(self.cond), "sha256": self.sha256, "dtype": self.dtype}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], format: int) -> "Golden":
        if format == WITH_LABEL:
            cond = {} if value["label"] is None else {LABEL: value["label"]}
            value = {**value, "cond": cond, "sha256": value["pixels_sha256"], "dtype": "uint8"}
        values = np.frombuffer(bytes.fromhex(value["values_hex"]), np.dtype(value["dtype"]).newbyteorder("<"))
        return cls(
            seed=value["seed"],
            cond=value["cond"],
            sampler=value["sampler"],
            sha256=value["sha256"],
            stride=value["stride"],
            dtype=value["dtype"],
            values=tuple(values.tolist()),
            tolerance=value["tolerance"],
        )


def _digest(data: NDArray[Any]) -> str:
    return sha256_bytes(_little_endian(data))


def _little_endian(data: NDArray[Any]) -> bytes:
    return data.astype(data.dtype.newbyteorder("<")).tobytes()
