"""Errors that mean that a device has no memory left, whatever they are called."""

from collections.abc import Iterator

import torch

_SAID = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so, or one that led to it; a compiler wraps what it met in an error of its own."""
    return any(
        isinstance(each, torch.OutOfMemoryError)
        or (isinstance(each, RuntimeError) and any(words in str(each) for words in _SAID))
        for each in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was raised from, was raised while handling, or holds."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "inner_exception", None)]
