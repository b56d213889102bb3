"""Tensors as the protocol has them: described by name, datatype and shape; their numbers in JSON or in bytes.

The shape and the datatype are known before any number is read, so that nothing is as large as a client says it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.base.request import InvalidRequest

DATATYPES: Mapping[str, str] = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
"""The protocol's name of a numpy dtype."""
STRINGS = "BYTES"
_DTYPES: Mapping[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "UINT8": np.dtype("u1")}
_TYPES: Mapping[str, set[type]] = {"FP32": {int, float}, "INT64": {int}, STRINGS: {str}}  # in JSON
_LENGTH = 4  # bytes before each text among binary BYTES


@dataclass(frozen=True)
class Tensor:
    """An input or output. `shape` is that of one datum where there is one for each datum, else that of the whole."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    each_datum: bool = True
    optional: bool = False
    classes: int | None = None
    """Where the values are classes, how many there are; that number itself stands for none."""

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    def metadata(self) -> dict[str, Any]:
        """As the protocol describes a tensor: -1 is any number of data."""
        shape = [-1, *self.shape] if self.each_datum else list(self.shape)
        return {"name": self.name, "datatype": self.datatype, "shape": shape}

    def check(self, datatype: str, shape: Sequence[int], most: int) -> None:
        """InvalidRequest where a tensor of this name must have another datatype or shape."""
        if datatype != self.datatype:
            raise InvalidRequest.of(f"inputs.{self.name}.datatype", f"must be {self.datatype}")
        if not self.each_datum:
            fits, must = tuple(shape) == self.shape, str(list(self.shape))
        else:
            shapes = [self.shape] if self.shape else [(), (1,)]  # Triton has one number of each datum as [n, 1]
            fits = len(shape) > 0 and 1 <= shape[0] <= most and tuple(shape[1:]) in shapes
            must = f"{_shape_of(self.shape)} with n from 1 to {most}"
        if not fits:
            raise InvalidRequest.of(f"inputs.{self.name}.shape", f"must be {must}, got {list(shape)}")

    def from_json(self, data: Sequence[Any], shape: Sequence[int]) -> NDArray[Any]:
        """The values of a list, flat or nested as the shape."""
        where = f"inputs.{self.name}.data"
        flat = data if not any(isinstance(each, list) for each in data) else _flat(data, shape)
        if flat is None or len(flat) != math.prod(shape):
            raise InvalidRequest.of(where, f"must have {math.prod(shape)} values, flat or nested as the shape")
        if not {type(each) for each in flat} <= _TYPES[self.datatype]:
            raise InvalidRequest.of(where, f"must be values of the datatype {self.datatype}")
        if self.datatype == STRINGS:
            return np.array(flat)
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
                found = np.array(flat, _DTYPES[self.datatype])
        except OverflowError:
            raise InvalidRequest.of(where, f"must be within the range of {self.datatype}") from None
        return self._checked(found.reshape(shape))

    def from_bytes(self, data: memoryview, shape: Sequence[int]) -> NDArray[Any]:
        """The values of bytes, little-endian and row by row; BYTES have their length before them."""
        where = f"inputs.{self.name}.parameters.binary_data_size"
        if self.datatype == STRINGS:
            length = int.from_bytes(data[:_LENGTH], "little")
            if len(data) < _LENGTH or len(data) != _LENGTH + length:
                raise InvalidRequest.of(where, f"must be one text with its length in {_LENGTH} bytes before it")
            try:
                text = str(data[_LENGTH:], "utf-8")
            except UnicodeDecodeError:
                raise InvalidRequest.of(f"inputs.{self.name}", "must be a text in UTF-8") from None
            return np.array([text])
        dtype = _DTYPES[self.datatype]
        size = math.prod(shape) * dtype.itemsize
        if len(data) != size:
            raise InvalidRequest.of(where, f"must be {size}, the bytes of this shape and datatype, got {len(data)}")
        return self._checked(np.frombuffer(data, dtype).reshape(shape))

    def _checked(self, found: NDArray[Any]) -> NDArray[Any]:
        if not np.isfinite(found).all():
            raise InvalidRequest.of(f"inputs.{self.name}", f"must be finite numbers of {self.datatype}")
        if self.classes is not None and not ((found >= 0) & (found <= self.classes)).all():
            raise InvalidRequest.of(
                f"inputs.{self.name}", f"must be classes from 0 to {self.classes - 1}, or {self.classes} for none"
            )
        return found.reshape(len(found), *self.shape) if self.each_datum else found


def _flat(data: Sequence[Any], shape: Sequence[int]) -> list[Any] | None:
    """The values of lists that are nested as the shape; None where they are not."""
    if len(data) != shape[0]:
        return None
    if len(shape) == 1:
        return list(data)
    parts = [_flat(each, shape[1:]) if isinstance(each, list) else None for each in data]
    return None if None in parts else [value for part in parts if part is not None for value in part]


def to_bytes(tensor: Tensor, values: NDArray[Any]) -> bytes:
    """The values as the extension for binary tensors has them."""
    sent: bytes = values.astype(_DTYPES[tensor.datatype], copy=False).tobytes()
    return sent


def item_bytes(tensor: Tensor) -> int:
    """Bytes of a number; of a text none are counted."""
    return _DTYPES[tensor.datatype].itemsize if tensor.datatype in _DTYPES else 0


def _shape_of(shape: Sequence[int]) -> str:
    return "[" + ", ".join(("n", *map(str, shape))) + "]"
