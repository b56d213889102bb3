"""How rough pictures are: grain that real pictures lack, or a blur that takes theirs away.

Features of networks hardly see a quarter of noise among good samples; this does, and costs nothing.
"""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Floats = NDArray[np.float64]

_TAILS = (0.01, 0.99)


def roughness(images: Images, top: int) -> Floats:
    """For each picture the mean of |x - its 3 x 3 mean| over pixels and channels, in units of the range. [n]"""
    x = images.astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    mean = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9.0
    return np.asarray(np.abs(x - mean).mean(axis=(1, 2, 3), dtype=np.float64) / top)


def usual_range(real: Floats) -> tuple[float, float]:
    """The roughness between which 98 % of real pictures lie."""
    low, high = np.quantile(real, _TAILS)
    return float(low), float(high)


def outside(values: Floats, usual: tuple[float, float]) -> NDArray[np.bool_]:
    """Which pictures are rougher or smoother than nearly all real ones."""
    low, high = usual
    return (values < low) | (values > high)
