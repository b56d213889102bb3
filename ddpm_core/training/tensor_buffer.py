"""A safetensors file in memory, into which tensors are copied; its bytes are written as they are.

The library lays the file out once. Each later save is one copy, the only part that a step waits for. Serialising every
save with the library would cost a second copy and hold Python's lock.
"""

import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class TensorBuffer:
    """A buffer for tensors of these names, types and shapes, reused by every save of a training."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        header, size = _header(tensors)
        pinned = any(tensor.is_cuda for tensor in tensors.values())
        self._bytes = torch.empty(len(header) + size, dtype=torch.uint8, pin_memory=pinned)
        self._bytes[: len(header)] = torch.frombuffer(bytearray(header), dtype=torch.uint8)
        data, places = self._bytes[len(header) :], json.loads(header[8:])
        self._views = {
            name: data[slice(*places[name]["data_offsets"])].view(tensor.dtype).view(tensor.shape)
            for name, tensor in tensors.items()
        }
        self._copied: torch.cuda.Event | None = None

    def holds(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether the names, types and shapes are the same."""
        return _kinds(tensors) == _kinds(self._views)

    @torch.no_grad()
    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the current values; from a GPU without waiting for it."""
        torch._foreach_copy_(list(self._views.values()), [tensors[name] for name in self._views], True)
        if self._bytes.is_pinned():
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def content(self) -> memoryview:
        """The file's bytes; waits for the copy."""
        if self._copied is not None:
            self._copied.synchronize()
        array: NDArray[np.uint8] = self._bytes.numpy()
        return array.data


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


def _header(tensors: Mapping[str, Tensor]) -> tuple[bytes, int]:
    """The header that the library writes before the tensors, and the number of bytes after it."""
    from safetensors.torch import save

    file = save({name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in tensors.items()})
    length = 8 + int.from_bytes(file[:8], "little")
    return file[:length], len(file) - length
