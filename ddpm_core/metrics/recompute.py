"""Numbers of a measurement that follow from its other numbers, worked out again when it is read back.

Which number follows in which way is found once, when the measurement is written: every way is tried, and the one that
agrees is written down. The ends of a metric's interval and the difference that it tells may follow from its replicates
or, of a share, from n; the worst class from the numbers of all classes.
"""

from collections.abc import Callable, Iterator, Mapping

from ddpm_core.metrics.intervals import Interval, around, clopper_pearson, detectable, reflected, wilson
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.metric import Metric

_TOLERANCE = 1e-5  # of the larger number: what rounding, and replicates of float32, leave open
_NOTHING = 1e-9

Way = Callable[[Metric, float, Measurement], Mapping[str, float]]


def _from_replicates(
    metric: Metric, value: float, of: Measurement, *, unbiased: bool, bounded: bool
) -> Mapping[str, float]:
    replicates = of.replicates(metric.name)
    if replicates is None:
        return {}
    ends = (reflected if unbiased else around)(value, replicates, of.confidence)
    return _named(metric, ends.at_least_0() if bounded else ends)


def _share(metric: Metric, share: float, of: Measurement, *, exact: bool) -> Mapping[str, float]:
    n = round(of.metrics.get("n", 0))
    if n < 1 or not 0 <= share <= 1:
        return {}
    return _named(metric, (clopper_pearson if exact else wilson)(round(share * n), n, of.confidence))


def _detectable(metric: Metric, value: float, of: Measurement) -> Mapping[str, float]:
    replicates = of.replicates(metric.name)
    return {} if replicates is None else {metric.detectable: detectable(replicates.spread, of.confidence)}


def _worst(metric: Metric, value: float, of: Measurement) -> Mapping[str, float]:
    values = [value for value in of.record.get("per_class", {}).get(metric.by_class, ()) if value is not None]
    return {metric.name: (max if metric.better == "lower" else min)(values)} if values else {}


def _named(metric: Metric, ends: Interval) -> Mapping[str, float]:
    return dict(zip(metric.ends, (ends.low, ends.high), strict=True))


WAYS: Mapping[str, Way] = {
    "around": lambda metric, value, of: _from_replicates(metric, value, of, unbiased=False, bounded=False),
    "around, at least 0": lambda metric, value, of: _from_replicates(metric, value, of, unbiased=False, bounded=True),
    "reflected": lambda metric, value, of: _from_replicates(metric, value, of, unbiased=True, bounded=False),
    "reflected, at least 0": lambda metric, value, of: _from_replicates(metric, value, of, unbiased=True, bounded=True),
    "wilson": lambda metric, value, of: _share(metric, value, of, exact=False),
    "clopper-pearson": lambda metric, value, of: _share(metric, value, of, exact=True),
    "detectable": _detectable,
    "worst class": _worst,
}


def ways(of: Measurement) -> dict[str, str]:
    """Of each number that follows from others, the way in which it does."""
    follows: dict[str, str] = {}
    for number, metric in _following(of):
        for way in WAYS:
            wanted = _worked_out(number, metric, way, of)
            if wanted is not None and _agree(of.metrics[number], wanted):
                follows[number] = way
                break
    return follows


def disagreements(of: Measurement, follows: Mapping[str, str]) -> dict[str, tuple[float | None, float | None]]:
    """The numbers that do not follow as they must: what stands there and what comes out."""
    metrics = dict(_following(of))
    wrong: dict[str, tuple[float | None, float | None]] = {}
    for number, way in follows.items():
        value = of.metrics.get(number)
        wanted = _worked_out(number, metrics[number], way, of) if way in WAYS and number in metrics else None
        if value is None or wanted is None or not _agree(value, wanted):
            wrong[number] = (value, wanted)
    return wrong


def _following(of: Measurement) -> Iterator[tuple[str, Metric]]:
    """The numbers that may follow from others, each with its metric."""
    for metric in of.listed:
        names = (metric.name,) if metric.by_class else (*metric.ends, metric.detectable)
        yield from ((name, metric) for name in names if name in of.metrics)


def _worked_out(number: str, metric: Metric, way: str, of: Measurement) -> float | None:
    return None if metric.value is None else WAYS[way](metric, metric.value, of).get(number)


def _agree(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= _NOTHING + _TOLERANCE * max(abs(value), abs(wanted))
