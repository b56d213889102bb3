"""How far one data set is from another: numbers from 0 (equal) to 1, each with its interval, whatever the data are.

    fewer     1 - n / n of the accepted; 0 where there are more
    labels    total variation distance of the shares of the labels
    values    Kolmogorov-Smirnov distance of each number that the kind of data names
    features  energy distance, as a share of twice the mean distance between the two

An interval holds the distance of the sources, of which both data sets are a draw. Drift is judged by its lower end, so
few data that differ by chance alone are no drift.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.intervals import STEP, Interval, Replicates, around, resampled
from pipelines.validation.summary import DataSummary

Level = Literal["fewer", "labels", "values", "features"]

_DOUBT = 0.01  # the chance that an interval misses
_ROUNDS, _SEED = 200, 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One distance. `accepted` and `now` say in words what was measured on either side."""

    name: str
    level: Level
    value: float
    interval: Interval
    accepted: str
    now: str


def incomparable(accepted: DataSummary, now: DataSummary) -> tuple[str, str] | None:
    """What the accepted data are and what these are, where not all measures can be taken; else None."""
    if accepted.kind != now.kind:
        return accepted.kind, now.kind
    if accepted.features.shape[1] != now.features.shape[1]:
        return _shape(accepted), _shape(now)
    return None


def compare(accepted: DataSummary, now: DataSummary) -> list[Measure]:
    """All measures; only the number and the labels where the two are `incomparable`."""
    always = [_fewer(accepted, now), *_labels(accepted, now)]
    if incomparable(accepted, now):
        return always
    return [*always, *_values(accepted, now), *_features(accepted, now)]


def _fewer(accepted: DataSummary, now: DataSummary) -> Measure:
    gone = max(0.0, 1.0 - now.examples / accepted.examples)
    return Measure(
        "number of examples", "fewer", gone, Interval(gone, gone), f"{accepted.examples:,}", f"{now.examples:,}"
    )


def _labels(accepted: DataSummary, now: DataSummary) -> Iterator[Measure]:
    """The interval by McDiarmid's inequality: one datum moves the distance by its own share at most."""
    if not accepted.labels and not now.labels:
        return
    a, b = _shares(accepted), _shares(now)
    names = sorted({*a, *b})
    gaps = {name: b.get(name, 0.0) - a.get(name, 0.0) for name in names}
    value = sum(map(abs, gaps.values())) / 2
    chance = 1 / accepted.examples + 1 / now.examples
    together = [(a.get(name, 0.0) + b.get(name, 0.0)) / 2 for name in names]
    bias = sum(np.sqrt(share * (1 - share) * chance) for share in together) / 2
    reach = float(np.sqrt(np.log(1 / _DOUBT) / 2 * chance))
    interval = Interval(max(0.0, value - float(bias) - reach), min(1.0, value + reach))
    widest = sorted(names, key=lambda name: -abs(gaps[name]))[:3]
    words = [", ".join(f"{name} {side.get(name, 0.0):.1%}" for name in widest) for side in (a, b)]
    yield Measure("label shares", "labels", value, interval, *words)


def _shares(summary: DataSummary) -> dict[str, float]:
    """The share of each class, those without a label under a name that no class has."""
    shares = {name: count / summary.examples for name, count in summary.labels.items() if count}
    rest = 1.0 - sum(shares.values())
    return {**shares, "(no label)": rest} if rest > 1e-9 else shares


def _values(accepted: DataSummary, now: DataSummary) -> Iterator[Measure]:
    """The interval by the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant, for both sides."""
    reach = float(np.sqrt(np.log(2 / _DOUBT) / 2 * (1 / accepted.examples + 1 / now.examples)))
    for name in accepted.values:
        if name in now.values:
            a, b = accepted.values[name], now.values[name]
            value = _largest_gap(a, b)
            interval = Interval(max(0.0, value - reach), min(1.0, value + reach))
            yield Measure(name, "values", value, interval, _middle(a), _middle(b))


def _largest_gap(a: Floats, b: Floats) -> float:
    """The Kolmogorov-Smirnov distance of two lists of quantiles."""
    points = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(side), points, side="right") / len(side) for side in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _middle(quantiles: Floats) -> str:
    low, middle, high = (np.quantile(quantiles, share) for share in (0.05, 0.5, 0.95))
    return f"median {middle:.4g} ({low:.4g} to {high:.4g})"


def _features(accepted: DataSummary, now: DataSummary) -> Iterator[Measure]:
    a, b = now.features, accepted.features
    if min(len(a), len(b)) < 2:
        return
    value, interval = feature_distance(a, b)
    yield Measure("features", "features", value, interval, f"{len(b)} examples", f"{len(a)} examples")


def feature_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, Interval]:
    """The energy distance of two sets [n, d] and [m, d] as a share of twice the mean distance between them: 0 for equal
    distributions, 1 for two points (Székely and Rizzo 2013, eq. 4.1, the coefficient of inhomogeneity).

    The interval comes from the same resampling as those of the measures of samples, here of both sides.
    """
    n, m = len(a), len(b)
    within_a, within_b, across = _distances(a, a), _distances(b, b), _distances(a, b)
    between = float(across.mean())
    if between == 0:
        return 0.0, Interval(0.0, 0.0)

    def coefficient(of_a: Floats, of_b: Floats) -> Floats:
        """Of data that weigh so much, [rounds, n] and [rounds, m]. No datum is paired with itself."""
        own_a = ((of_a @ within_a) * of_a).sum(axis=1) / (n * (n - 1))
        own_b = ((of_b @ within_b) * of_b).sum(axis=1) / (m * (m - 1))
        return np.asarray(1 - (own_a + own_b) / (2 * ((of_a @ across) * of_b).sum(axis=1) / (n * m)))

    value = float(coefficient(np.ones((1, n)), np.ones((1, m)))[0])
    signs_a, signs_b = resampled(n, _ROUNDS, _SEED), resampled(m, _ROUNDS, _SEED + 1)
    slopes_a = (1 - value) * across.mean(axis=1) - within_a.sum(axis=1) / (n - 1)
    slopes_b = (1 - value) * across.mean(axis=0) - within_b.sum(axis=1) / (m - 1)
    linear = (signs_a @ slopes_a / n + signs_b @ slopes_b / m) / between
    whole = coefficient(1 + STEP * signs_a, 1 + STEP * signs_b)
    interval = around(value, Replicates(linear, (whole - value - STEP * linear) / STEP**2), 1 - _DOUBT)
    return max(0.0, value), Interval(*(min(1.0, max(0.0, end)) for end in (interval.low, interval.high)))


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> Floats:
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    squared = (a64**2).sum(axis=1)[:, None] + (b64**2).sum(axis=1) - 2 * a64 @ b64.T
    if a is b:
        np.fill_diagonal(squared, 0.0)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float64)


def farthest(features: NDArray[np.float32], accepted: NDArray[np.float32]) -> list[int]:
    """The rows, those first whose nearest accepted datum is the farthest."""
    nearest = _distances(features, accepted).min(axis=1)
    return [int(row) for row in np.argsort(-nearest, kind="stable")]


def _shape(summary: DataSummary) -> str:
    return "shape " + " x ".join(map(str, summary.shape))
