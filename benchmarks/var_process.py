"""A vector autoregression x_{s+1} = A x_s + e, of which the benchmarks know forecasts and posteriors exactly."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

Floats = NDArray[np.float64]


class VarProcess(NamedTuple):
    """A, the covariance of e, and that of x, which has ones on its diagonal."""

    A: Floats
    noise: Floats
    covariance: Floats


def standard(columns: int, seed: int = 5) -> VarProcess:
    """Correlated columns; the largest eigenvalue of A is 0.9."""
    random = np.random.default_rng(seed)
    A = random.standard_normal((columns, columns))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    mix = np.eye(columns) + 0.3 * random.standard_normal((columns, columns))
    noise = mix @ mix.T
    scale = 1 / np.sqrt(np.diag(solve_discrete_lyapunov(A, noise)))
    A, noise = scale[:, None] * A / scale, scale[:, None] * noise * scale
    return VarProcess(A, noise, solve_discrete_lyapunov(A, noise))
