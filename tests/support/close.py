"""Tensors that must be nearly equal. `torch.testing` does the same, and takes two seconds to load when first used."""

import numpy as np
from torch import Tensor


def assert_close(got: Tensor, want: Tensor, *, rtol: float = 1.3e-6, atol: float = 1e-5) -> None:
    """Equal shapes and types, and values within atol + rtol |want|; the defaults are torch's for float32."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=rtol, atol=atol)
