"""The image of a safetensors file in memory: tensors are copied into their places in it, and it is written as it lies.

One copy is all that a step waits for; the digest and the writing need no further one, and neither holds Python's lock.
"""

import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CODES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.bool: "BOOL",
}
# As the library orders its types; the largest items first, so that each lies at a multiple of its size.
_RANK = {code: rank for rank, code in enumerate(("BOOL", "U8", "I8", "I16", "F16", "BF16", "I32", "F32", "F64", "I64"))}

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]


class Image:
    """Room for tensors of these names, types and shapes, reused by every save of one training."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.layout = layout_of(tensors)
        header, places, size = _plan(tensors, self.layout)
        pinned = any(tensor.is_cuda for tensor in tensors.values())
        self._bytes = torch.empty(len(header) + size, dtype=torch.uint8, pin_memory=pinned)
        self._bytes[: len(header)] = torch.frombuffer(bytearray(header), dtype=torch.uint8)
        data = self._bytes[len(header) :]
        self._views = {
            name: data[begin:end].view(tensors[name].dtype).view(tensors[name].shape)
            for name, (begin, end) in places.items()
        }
        self._copied: torch.cuda.Event | None = None

    @torch.no_grad()
    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the tensors as they are now; from a GPU without waiting for it."""
        names = [name for name, _, _ in self.layout]
        torch._foreach_copy_([self._views[name] for name in names], [tensors[name] for name in names], True)
        if self._bytes.is_pinned():
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def content(self) -> memoryview:
        """The file's bytes, once the copy has arrived."""
        if self._copied is not None:
            self._copied.synchronize()
        array: NDArray[np.uint8] = self._bytes.numpy()
        return array.data


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """Name, type and shape of each tensor in the order of the file."""
    found = ((name, _CODES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items())
    return tuple(sorted(found, key=lambda entry: (-_RANK[entry[1]], entry[0])))


def _plan(tensors: Mapping[str, Tensor], layout: Layout) -> tuple[bytes, dict[str, tuple[int, int]], int]:
    """The header as the library writes it, each tensor's place behind it, and their whole size."""
    places: dict[str, tuple[int, int]] = {}
    entries = {}
    end = 0
    for name, code, shape in layout:
        begin, end = end, end + tensors[name].nbytes
        places[name] = begin, end
        entries[name] = {"dtype": code, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, places, end
