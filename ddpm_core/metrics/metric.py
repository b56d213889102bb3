"""What a metric is: a number, how far it can be trusted, what it means, and the rule that judges it.

A measure is a function that yields metrics. Their numbers are written to metrics.json, flat, and all else that is known
of them to record.json, so that a measurement that is read back holds the same metrics. The gate, the comparison of two
models and the report go through the metrics that there are; none of them knows a metric by its name.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.intervals import Interval, Replicates, detectable

Numbers = Mapping[str, float]

_LOW, _HIGH, _DETECTABLE = "_low", "_high", "_detectable"
_MEASURED = ("value", "interval", "replicates", "class_values", "left_out")  # the other fields describe


@dataclass(frozen=True)
class Rule:
    """How the gate judges a metric. `limit` is a key of section gate; where that is null the rule does not apply.

    interval: the whole interval is at most the limit. ratio: so is that of a multiple of what real data score, and the
    limit counts only where every gross fault exceeds it. excess: a share is at most so much above its floor, or chance
    alone often gives as many. loss: a share is at most so much below its floor. absolute: the value is at most the
    limit. least: the whole interval is at least the limit. inside: it is at most that far from `centre`. `words` and
    `says` are format strings of value, low, high, floor and worth (1 / value real data, repeated).
    """

    kind: Literal["interval", "ratio", "excess", "loss", "absolute", "least", "inside"]
    limit: str
    title: str
    words: str
    _: KW_ONLY
    says: str = ""  # the verdict begins with the worst of those metrics that have such words ...
    asks: str = ""  # ... and these, which `says` answers; "" is "looks like the data"
    controls: bool = False  # bad samples made from real data are judged by it too
    chance: str = ""  # of an excess: the metric that says how often chance alone gives as many; "" has it worked out
    guessing: float = 0.0  # of a loss: the share that mere guessing reaches
    of: str = ""  # of a loss: which of the samples and unseen examples count, in the metrics asked_OF and known_OF
    centre: float = 0.0  # of inside: the value of a perfect model


@dataclass(frozen=True, eq=False)
class Metric:
    """A number under the name that it has in metrics.json, with what it means and what is done with it.

    Beside `name` metrics.json holds the ends of the interval as `name_low` and `name_high` (no end that is infinite)
    and, where there are replicates, as `name_detectable` the smallest difference of two models that is told.
    """

    name: str
    meaning: str
    better: Literal["lower", "higher", "inside"] | None = None
    _: KW_ONLY
    floor: str = ""  # the metric that says what real data or a baseline score
    rule: Rule | None = None
    champion: str = ""  # the key of section gate that says how much worse than the champion's it may be
    not_applicable: str = ""  # why no rule judges it
    by_class: str = ""  # it is the worst class of the table of this name, in record.json's per_class
    share: bool = False  # shown in percent
    # for the report
    short: str = ""  # a column of the controls' table
    features: str = ""  # the extractor in whose features it is taken
    tile: tuple[str, str] | None = None  # a headline, a format string of floor, and the format of the number
    contrast: tuple[str, str] | None = None  # a row where samples stand beside real data, and words about it
    distance: tuple[str, str] | None = None  # a row of the table of distances: its name, and to what it is
    ratio: str = ""  # of a distance: the metric that is its multiple of the floor, both of equal n
    # what was measured
    value: float | None = None
    interval: Interval | None = None
    replicates: Replicates | None = None
    class_values: NDArray[np.float64] | None = None
    left_out: str = ""  # why there is no value

    def measured(
        self, value: float | None, interval: Interval | None = None, replicates: Replicates | None = None
    ) -> "Metric":
        """This metric with its numbers."""
        return replace(self, value=value, interval=interval, replicates=replicates)

    def without_rule(self) -> "Metric":
        """This metric as a number that nothing judges and no headline names."""
        return replace(self, rule=None, champion="", short="", features="", tile=None)

    def worst(self, values: NDArray[np.float64]) -> "Metric":
        """This metric as the worst class of these; without a value where no class has one."""
        known = values[~np.isnan(values)]
        worst = (known.max() if self.better == "lower" else known.min()) if len(known) else None
        return replace(self, value=None if worst is None else float(worst), class_values=values)

    @property
    def title(self) -> str:
        return self.name if self.rule is None else self.rule.title

    @property
    def ends(self) -> tuple[str, str]:
        """The names of both ends of the interval."""
        return f"{self.name}{_LOW}", f"{self.name}{_HIGH}"

    @property
    def detectable(self) -> str:
        """The name of the smallest difference that is told."""
        return f"{self.name}{_DETECTABLE}"

    def flat(self, confidence: float) -> dict[str, float]:
        """Its numbers as metrics.json has them."""
        if self.value is None:
            return {}
        numbers = {self.name: self.value}
        if self.interval is not None:
            ends = zip(self.ends, (self.interval.low, self.interval.high), strict=True)
            numbers |= {name: end for name, end in ends if not math.isinf(end)}
        if self.replicates is not None:
            numbers[self.detectable] = detectable(self.replicates.spread, confidence)
        return numbers

    def described(self) -> dict[str, Any]:
        """All but its numbers, as plain data."""
        about = _said(self, _MEASURED)
        return about if self.rule is None else {**about, "rule": _said(self.rule)}

    @classmethod
    def read(cls, about: Mapping[str, Any], numbers: Numbers) -> "Metric":
        """From its description and the flat numbers."""
        rule = about.get("rule")
        return cls(**{**about, "rule": None if rule is None else Rule(**rule)}).of(numbers)

    def of(self, numbers: Numbers) -> "Metric":
        """The same metric of other flat numbers."""
        low, high = (numbers.get(end) for end in self.ends)
        interval = Interval(-math.inf if low is None else low, math.inf if high is None else high)
        return self.measured(numbers.get(self.name), None if low is None and high is None else interval)


def _said(of: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass that are not at their defaults."""
    named = {field.name: field.default for field in fields(of) if field.name not in without}
    return {name: getattr(of, name) for name, default in named.items() if getattr(of, name) != default}


def flat(metrics: Iterable[Metric], confidence: float) -> dict[str, float]:
    """The numbers of metrics.json."""
    return rounded({name: value for metric in metrics for name, value in metric.flat(confidence).items()})


def rounded(measures: Numbers, digits: int = 9) -> dict[str, float]:
    """Numbers to so many significant digits: fewer than any round-off of summation order reaches."""
    return {name: float(f"{float(value):.{digits}g}") for name, value in measures.items()}
