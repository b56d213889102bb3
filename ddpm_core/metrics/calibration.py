"""Whether the spread of samples is right: coverage of their intervals, PIT histogram, and dispersion.

Of m samples of the truth's own distribution the truth is as likely to fall into each of the m + 1 gaps between them.
Each gap therefore stands for 1 / (m + 1) of the distribution, and an interval of 90 % covers a truth by as much of its
gap as lies between 5 % and 95 %. So the coverage expected of a perfect forecast is 90 % exactly, whatever m is, where
intervals between interpolated sample quantiles come out too narrow (88 % of 100 samples). A truth that equals some
samples is spread over their gaps.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.ensemble import Ensemble, Ratio, Weighings
from ddpm_core.metrics.metric import Metric, Rule

Floats = NDArray[np.float64]

COVERAGE = {
    level: Metric(
        f"coverage_{level:.0%}".rstrip("%"),
        f"truths inside the central {level:.0%} of the samples",
        "inside",
        floor=f"coverage_{level:.0%}".rstrip("%") + "_baseline",
        rule=Rule(
            "inside",
            "max_coverage_error",
            f"coverage of {level:.0%}",
            f"the central {level:.0%} of the samples hold {{value:.1%}} ({{low:.1%}} to {{high:.1%}}) of what came",
            controls=True,
            centre=level,
        ),
        short=f"in {level:.0%}",
        share=True,
    )
    for level in (0.5, 0.9)
}
DISPERSION = Metric(
    "dispersion",
    "variance of the samples as a multiple of their mean's square error; 1 where the spread is right",
    "inside",
    floor="dispersion_baseline",
    rule=Rule(
        "inside",
        "max_dispersion_error",
        "dispersion",
        "the samples vary {value:.3g} x ({low:.3g} to {high:.3g}) as much as what came does about their mean",
        controls=True,
        centre=1.0,
    ),
    short="dispersion",
)


def gaps(of: Ensemble) -> tuple[Floats, Floats]:
    """Where in the distribution the truth lies: the ends of its gap, each [windows, columns, steps]."""
    truth = of.known[..., None]
    below = (of.ordered < truth).sum(axis=-1)
    up_to = (of.ordered <= truth).sum(axis=-1)
    return below / (of.m + 1), (up_to + 1) / (of.m + 1)


def between(ends: tuple[Floats, Floats], low: float, high: float) -> Floats:
    """How much of each gap lies between two levels."""
    start, stop = ends
    return np.asarray(np.clip(np.minimum(stop, high) - np.maximum(start, low), 0.0, None) / (stop - start))


def pit_histogram(of: Ensemble, bins: int) -> Floats:
    """The share of truths in each of so many equal parts of the distribution, as a multiple of 1 / bins."""
    ends, edges = gaps(of), np.linspace(0.0, 1.0, bins + 1)
    shares = [of.ratio(between(ends, low, high)).value for low, high in pairwise(edges)]
    return np.array(shares) * bins


def dispersion(of: Ensemble) -> Ratio:
    """(1 + 1/m) variance of the samples over the square error of their mean, both expected equal."""
    variance = of.samples.var(axis=1, ddof=1, dtype=np.float64) * (1 + 1 / of.m)
    off = of.known - of.mean
    sums = [np.where(of.counts, part, 0.0).sum(axis=(1, 2)) for part in (variance, off * off)]
    return Ratio(sums[0], sums[1])


def calibration(of: Ensemble, weighings: Weighings) -> Iterator[Metric]:
    ends = gaps(of)
    for level, metric in COVERAGE.items():
        yield weighings.measured(metric, of.ratio(between(ends, (1 - level) / 2, (1 + level) / 2)))
    ratio = dispersion(of)
    if ratio.under.sum() > 0:
        yield weighings.measured(DISPERSION, ratio)
    else:
        yield replace(DISPERSION, left_out="the mean of the samples is the truth itself, so nothing is a unit")
