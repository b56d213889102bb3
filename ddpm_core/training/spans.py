"""The named parts of a step, for a profile."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.profiler import record_function

_watched: torch.device | None = None


@contextmanager
def span(name: str) -> Iterator[None]:
    """A part of a step. While a GPU is profiled, waits for its kernels: else they would count for later parts."""
    with record_function(name):
        yield
        if _watched is not None:
            torch.cuda.synchronize(_watched)


@contextmanager
def watched(device: torch.device) -> Iterator[None]:
    """Spans in here wait for a GPU."""
    global _watched
    _watched = device if device.type == "cuda" else None
    try:
        yield
    finally:
        _watched = None
