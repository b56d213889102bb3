"""Recognises errors of a device without free memory."""

from collections.abc import Iterator

import torch

_SAID = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error or its cause is one; a compiler wraps the original error in its own."""
    return any(
        isinstance(each, torch.OutOfMemoryError)
        or (isinstance(each, RuntimeError) and any(words in str(each) for words in _SAID))
        for each in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, its context and the errors of its group."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "inner_exception", None)]
