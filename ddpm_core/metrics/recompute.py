"""Numbers of a measurement that follow from its other numbers, worked out again when it is read back.

Which number follows in which way is found once, when the measurement is written: every way is tried, and the one that
agrees is written down. So nothing here knows a metric by name: NAME with NAME_low, NAME_high or NAME_detectable is
tried from the replicates of NAME or as a share of n, NAME_class_min from the classes' own numbers.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ddpm_core.metrics.intervals import Interval, around, clopper_pearson, detectable, reflected, wilson
from ddpm_core.metrics.measurement import Measurement

_ENDS = ("_low", "_high")
_SPREAD, _WORST = "_detectable", "_class_min"
_TOLERANCE = 1e-5  # of the larger number: what rounding, and replicates of float32, leave open
_NOTHING = 1e-9

Way = Callable[[str, Measurement], Mapping[str, float]]


def _from_replicates(name: str, of: Measurement, *, unbiased: bool, bounded: bool) -> Mapping[str, float]:
    replicates = of.replicates(name)
    if replicates is None:
        return {}
    ends = (reflected if unbiased else around)(of.metrics[name], replicates, of.confidence)
    return _named(name, ends.at_least_0() if bounded else ends)


def _share(name: str, of: Measurement, *, exact: bool) -> Mapping[str, float]:
    share, n = of.metrics[name], round(of.metrics.get("n", 0))
    if n < 1 or not 0 <= share <= 1:
        return {}
    part = round(share * n)
    if exact:
        return _named(name, clopper_pearson(part, n, of.confidence))
    return _named(name, wilson(part, n, of.confidence))


def _told(name: str, of: Measurement) -> Mapping[str, float]:
    replicates = of.replicates(name)
    return {} if replicates is None else {f"{name}{_SPREAD}": detectable(replicates.spread, of.confidence)}


def _worst(name: str, of: Measurement) -> Mapping[str, float]:
    values = [value for value in of.record.get("per_class", {}).get(name, ()) if value is not None]
    return {f"{name}{_WORST}": float(np.min(values))} if values else {}


def _named(name: str, ends: Interval) -> Mapping[str, float]:
    return {f"{name}_low": ends.low, f"{name}_high": ends.high}


WAYS: Mapping[str, Way] = {
    "around": lambda name, of: _from_replicates(name, of, unbiased=False, bounded=False),
    "around, at least 0": lambda name, of: _from_replicates(name, of, unbiased=False, bounded=True),
    "reflected": lambda name, of: _from_replicates(name, of, unbiased=True, bounded=False),
    "reflected, at least 0": lambda name, of: _from_replicates(name, of, unbiased=True, bounded=True),
    "wilson": lambda name, of: _share(name, of, exact=False),
    "clopper-pearson": lambda name, of: _share(name, of, exact=True),
    "detectable": _told,
    "worst class": _worst,
}


def ways(of: Measurement) -> dict[str, str]:
    """Of each number that follows from others, the way in which it does."""
    found: dict[str, str] = {}
    for metric, value in sorted(of.metrics.items()):
        for way in WAYS:
            wanted = _worked_out(metric, way, of)
            if wanted is not None and _agree(value, wanted):
                found[metric] = way
                break
    return found


def disagreements(of: Measurement, follows: Mapping[str, str]) -> dict[str, tuple[float | None, float | None]]:
    """The numbers that do not follow as they must: what stands there and what comes out."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for metric, way in follows.items():
        value = of.metrics.get(metric)
        wanted = _worked_out(metric, way, of) if way in WAYS else None
        if value is None or wanted is None or not _agree(value, wanted):
            found[metric] = (value, wanted)
    return found


def _worked_out(metric: str, way: str, of: Measurement) -> float | None:
    base = next((metric.removesuffix(end) for end in (*_ENDS, _SPREAD, _WORST) if metric.endswith(end)), None)
    if base is None or (base not in of.metrics and way != "worst class"):
        return None
    return WAYS[way](base, of).get(metric)


def _agree(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= _NOTHING + _TOLERANCE * max(abs(value), abs(wanted))
