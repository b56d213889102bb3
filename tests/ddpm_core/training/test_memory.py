"""What counts as being out of memory, and what does not."""

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from ddpm_core.errors import DdpmError
from ddpm_core.training.memory import ran_out_of_memory


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def raised_while_handling(error: Exception, handled: Exception) -> Exception:
    try:
        try:
            raise handled
        except type(handled):
            raise error  # noqa: B904 (as libraries do)
    except type(error) as caught:
        return caught


SHORT = torch.OutOfMemoryError("as if")


@pytest.mark.parametrize(
    "error",
    [
        SHORT,
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
        raised_from(ValueError("in a kernel"), SHORT),
        raised_while_handling(KeyError("autotune"), raised_from(RuntimeError("inner"), SHORT)),
        BackendCompilerFailed(lambda: None, SHORT, None),
    ],
)
def test_out_of_memory_by_whatever_name(error: Exception) -> None:
    assert ran_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        DdpmError("the store ran out of memory"),
        raised_from(ValueError("a"), KeyError("b")),
    ],
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not ran_out_of_memory(error)


def test_errors_that_lead_to_each_other_come_to_an_end() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert not ran_out_of_memory(one)
