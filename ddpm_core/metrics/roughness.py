"""How rough pictures are: grain that real pictures lack, or a blur that takes theirs away.

Features of networks hardly see a quarter of noise among good samples; this does, and costs nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.data import EvalData
from ddpm_core.metrics.intervals import wilson
from ddpm_core.metrics.metric import Metric, Rule

Images = NDArray[np.uint8]
Floats = NDArray[np.float64]

_TAILS = (0.01, 0.99)
ROUGH = Metric(
    "rough_share",
    "samples rougher or smoother than 98 % of training images",
    "lower",
    floor="rough_share_heldout",
    rule=Rule(
        "interval",
        "max_rough",
        "roughness",
        "{value:.1%} ({low:.1%} to {high:.1%}) of the samples are rougher or smoother than 98 % of training images; "
        "{floor:.1%} of unseen real images are",
        controls=True,
    ),
    short="rough",
    share=True,
)
_UNSEEN = Metric("rough_share_heldout", "the same of unseen images", share=True)


def rough_share(data: EvalData) -> Iterator[Metric]:
    yield from data.grain.measure(data.images, data.settings.confidence)


@dataclass(frozen=True)
class Grain:
    """How rough real pictures are, prepared so that many sets of samples can be held against them."""

    top: int
    usual: tuple[float, float]  # the roughness between which 98 % of training pictures lie
    heldout: float  # the share of unseen pictures that lie outside

    @classmethod
    def of(cls, unseen: Images, training: Images, top: int) -> "Grain":
        usual = usual_range(roughness(training, top))
        return cls(top, usual, float(outside(roughness(unseen, top), usual).mean()))

    def measure(self, images: Images, confidence: float) -> tuple[Metric, Metric]:
        """The share of samples that lie outside, with its interval, beside that of unseen pictures."""
        rough = outside(roughness(images, self.top), self.usual)
        ends = wilson(int(rough.sum()), len(rough), confidence)
        return ROUGH.measured(float(rough.mean()), ends), _UNSEEN.measured(self.heldout)


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
