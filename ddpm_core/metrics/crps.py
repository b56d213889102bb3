"""The continuous ranked probability score: how far a forecast distribution is from what came.

    CRPS = E |X - y| - 1/2 E |X - X'|

It is 0 where all samples are the truth, and in the units of the data; of samples without spread it is their absolute
error. Here it is fair (Ferro 2014): the second mean is over pairs of different samples, so that its expectation does
not depend on how many samples there are. Sorted samples need one pass for it, as probability weighted moments do:
the sum of |x_i - x_j| over pairs is that of (2 i - m - 1) x_(i).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.ensemble import Ensemble, Ratio
from ddpm_core.metrics.metric import Metric, Rule

Floats = NDArray[np.float64]

CRPS = Metric(
    "crps",
    "how far the forecast distribution is from what came (fair CRPS), in standard deviations of each column",
    "lower",
    floor="crps_baseline",
    tile=("CRPS; of the best baseline {floor:.3g}", ".3g"),
)
_BETTER = Rule("least", "min_skill", "skill", "", controls=True)
SKILL = Metric(
    "skill",
    "by how much of it the CRPS is below that of the best baseline",
    "higher",
    rule=_BETTER,
    champion="max_champion_loss",
    short="skill",
    share=True,
    tile=("less CRPS than the best baseline", ".0%"),
)


def fair_crps(ordered: Floats, truth: Floats) -> Floats:
    """Of samples in rising order on the last axis, [..., m], and the truth [...]."""
    m = ordered.shape[-1]
    half_apart = ordered @ (2.0 * np.arange(1, m + 1) - m - 1) / (m * (m - 1))
    return np.asarray(np.abs(ordered - truth[..., None]).mean(axis=-1) - half_apart)


def mean_crps(of: Ensemble) -> Ratio:
    """Over all values that count."""
    return of.ratio(fair_crps(of.ordered, of.known))


def skill_against(baseline: str, value: float, what: str, asks: str) -> Metric:
    """The metric in the words for this value of it: `what` (forecasts, say) beside those of the baseline.

    `asks` is what the verdict answers first: "forecasts well", say.
    """
    if value > 0:
        words = f"better than the best baseline ({baseline}) by {{value:.1%}} ({{low:.1%}} to {{high:.1%}})"
        says = f"the {what} are {{value:.0%}} better than those of the best baseline ({baseline})"
    else:
        words = f"not better than the best baseline ({baseline}): {{value:.1%}} ({{low:.1%}} to {{high:.1%}})"
        says = f"the {what} are not better than those of the best baseline ({baseline})"
    return replace(SKILL, rule=replace(_BETTER, words=words, says=says, asks=asks))
