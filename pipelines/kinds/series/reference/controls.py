"""Bad forecasts made from real data: what the gate must refuse, so that it can show that it does.

Some ignore what was told, or are no better than a baseline. Others are near the truth and wrong about how near.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.kinds.series.reference.windows import Windows

Floats = NDArray[np.float64]

WORDS: Mapping[str, tuple[str, bool]] = {
    "no spread": ("the best simple forecast repeated, without spread", True),
    "climatology": ("climatology, which ignores what was told", True),
    "constant": ("the mean of the training part repeated", True),
    "noise added": ("the best baseline with noise of a standard deviation added", True),
    "shuffled": ("the best baseline of other windows", True),
    "too narrow": ("forecasts near the truth with a third of the right spread", True),
    "too wide": ("forecasts near the truth with three times the right spread", True),
    "a little narrow": ("forecasts near the truth with nine tenths of the right spread", False),
}
"""What each control is in words, and whether it is gross."""

_NEAR = 0.3  # errors of what is near the truth, as a share of the best baseline's


@dataclass(frozen=True, eq=False)
class Control:
    """Bad samples by their name in WORDS, [windows, m, columns, steps]."""

    name: str
    samples: Floats

    @property
    def words(self) -> str:
        return WORDS[self.name][0]

    @property
    def gross(self) -> bool:
        return WORDS[self.name][1]


def controls(windows: Windows, point: Floats, best: Floats, climatology: Floats, seed: int) -> Iterator[Control]:
    """All of them, from one number for each value [windows, columns, steps] and the samples of two baselines."""
    n, m = best.shape[:2]
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    truth = np.nan_to_num(windows.truth)
    off = (truth - best.mean(axis=1))[windows.asked]
    near = _NEAR * float(np.sqrt((off * off).mean())) or 1e-6
    centre = truth + near * rng.standard_normal(truth.shape)

    def about_truth(spread: float) -> Floats:
        return np.asarray(centre[:, None] + spread * near * rng.standard_normal(best.shape))

    yield Control("no spread", np.repeat(point[:, None], m, axis=1))
    yield Control("climatology", climatology)
    yield Control("constant", np.zeros(best.shape))
    yield Control("noise added", best + rng.standard_normal(best.shape))
    yield Control("shuffled", np.roll(best, max(1, n // 2), axis=0))
    yield Control("too narrow", about_truth(1 / 3))
    yield Control("too wide", about_truth(3.0))
    yield Control("a little narrow", about_truth(0.9))
