"""The energy score of whole windows: the CRPS of many values together, which sees how they go together.

    ES = E |X - y| - 1/2 E |X - X'|,  |.| the root of the mean square over the values of a window that count

The CRPS and the CRPS of a sum over columns are the same for right and wrong correlations; this is not (Gneiting and
Raftery 2007). The pairs are of different samples, so it is fair as the CRPS is.
"""

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.ensemble import Ensemble, Ratio
from ddpm_core.metrics.metric import Metric

Floats = NDArray[np.float64]

ENERGY_SCORE = Metric(
    "energy_score",
    "the same for all values of a window together, which sees their correlations (energy score)",
    "lower",
    floor="energy_score_baseline",
)


def energy_score(samples: Floats, truth: Floats) -> float:
    """Of samples [m, values] of one window and its truth [values]."""
    m = len(samples)
    apart = samples - truth
    squares = (apart * apart).sum(axis=1)
    between = np.maximum(squares[:, None] + squares - 2.0 * apart @ apart.T, 0.0)
    np.fill_diagonal(between, 0.0)
    scale = np.sqrt(len(truth))
    return float((np.sqrt(squares).mean() - np.sqrt(between).sum() / (2 * m * (m - 1))) / scale)


def mean_energy_score(of: Ensemble) -> Ratio:
    """Over the windows in which a value counts."""
    scores = [
        energy_score(samples.astype(np.float64)[:, counts], truth[counts]) if counts.any() else 0.0
        for samples, truth, counts in zip(of.samples, of.truth, of.counts, strict=True)
    ]
    return Ratio(np.array(scores), np.array([float(counts.any()) for counts in of.counts]))
