"""The tables of the report, from the metrics of the measurement and the columns of out/samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddpm_core.gate.rules import number
from ddpm_core.metrics.metric import Metric
from pipelines.report.page import Row

PerClass = Mapping[str, Sequence[float | None]]
_ALIKE = 0.2  # a value that differs from that of real pictures by less than this share of it is called alike
_LOW = 1 / 32  # of the levels, from the lowest: what a black background with a little noise stays within


def headline(metrics: Sequence[Metric]) -> list[Row]:
    """The numbers of the tiles: a headline and the number, of each metric that has one."""
    values = {metric.name: metric.value for metric in metrics if metric.value is not None}
    return [
        (metric.tile[0].format(floor=values.get(metric.floor, math.nan)), format(metric.value + 0.0, metric.tile[1]))
        for metric in metrics
        if metric.tile is not None and metric.value is not None
    ]


def distance_rows(metrics: Sequence[Metric]) -> list[Row]:
    """Each distance beside its floor."""
    named = {metric.name: metric for metric in metrics}
    rows: list[Row] = [("distance", "to", "samples", "floor", "ratio", "without bias")]
    for metric in metrics:
        if metric.distance is not None:
            floor, ratio = named[metric.floor].value, _with_ends(named[metric.ratio])
            rows.append(
                (*metric.distance, number(metric.value), number(floor), ratio, _ends(metric) or "too few samples")
            )
    return rows


def _ends(metric: Metric) -> str:
    """The interval of a number, where it has one with two ends."""
    ends = metric.interval
    return "" if ends is None or math.isinf(ends.high - ends.low) else f"{number(ends.low)} to {number(ends.high)}"


def _with_ends(metric: Metric) -> str:
    ends = _ends(metric)
    return f"{number(metric.value)} ({ends})" if ends else number(metric.value)


def class_rows(per_class: Mapping[str, Sequence[float | None]], classes: Sequence[str]) -> list[Row]:
    """A row a class, a column a measure; "-" where a class has no images to measure by."""
    names = sorted(per_class)
    columns = [per_class[name] for name in names]
    return [
        ("class", *names),
        *((label, *(number(column[place]) for column in columns)) for place, label in enumerate(classes) if names),
    ]


def measure_rows(metrics: Sequence[Metric]) -> list[Row]:
    """All numbers that the table of distances does not show, with a word about each."""
    shown = {name for metric in metrics if metric.distance for name in (metric.name, metric.floor, metric.ratio)}
    rest = [m for m in sorted(metrics, key=lambda m: m.name) if m.name not in shown and m.value is not None]
    return [("measure", "value", ""), *((metric.name, _with_ends(metric), metric.meaning) for metric in rest)]


# ---- samples beside real pictures


@dataclass(frozen=True)
class Difference:
    """What is measured of samples and of unseen real pictures alike."""

    what: str
    samples: float
    real: float
    is_share: bool
    words: str = ""

    @property
    def is_alike(self) -> bool:
        return abs(self.samples - self.real) <= _ALIKE * abs(self.real)

    def row(self) -> Row:
        times = f"{self.samples / self.real:.2f} x" if self.real > 0 else "-"
        return (self.what, self._text(self.samples), self._text(self.real), times, self.words)

    def __str__(self) -> str:
        return f"{self.what} ({self._text(self.samples)} against {self._text(self.real)})"

    def _text(self, value: float) -> str:
        return f"{value:.1%}" if self.is_share else f"{value:.3g}"


def differences(
    metrics: Sequence[Metric],
    per_class: PerClass,
    classes: Sequence[str],
    samples: Sequence[float],
    unseen: Sequence[float],
) -> list[Difference]:
    """The same measures of samples and of real pictures; `samples` and `unseen` are each level's shares in them."""
    rows, real = _of_levels(samples, unseen), {metric.name: metric.value for metric in metrics}
    for metric in metrics:
        if metric.contrast is None or metric.value is None:
            continue
        if metric.by_class:
            rows += _of_classes(metric.contrast, per_class.get(metric.by_class, ()), classes)
        elif (floor := real.get(metric.floor)) is not None:
            what, words = metric.contrast
            rows.append(Difference(what, metric.value, floor, is_share=metric.share, words=words))
    return rows


def _of_levels(samples: Sequence[float], unseen: Sequence[float]) -> list[Difference]:
    if len(samples) < 2:
        return []
    top = len(samples) - 1
    low = max(1, round(len(samples) * _LOW))

    def pair(what: str, places: Sequence[int], words: str = "") -> Difference:
        mine, real = (sum(side[place] for place in places) for side in (samples, unseen))
        return Difference(what, mine, real, is_share=True, words=words)

    mean, its = (sum(level * share for level, share in enumerate(side)) for side in (samples, unseen))
    return [
        Difference("mean level", mean, its, is_share=False, words=f"of 0 to {top}"),
        pair("values at level 0", [0], "black, as a plain background has it"),
        pair(f"values at most {low}", range(low + 1), "black, or so little above it that no eye sees it"),
        pair(f"values at level {top}", [top]),
    ]


def _of_classes(contrast: tuple[str, str], values: Sequence[float | None], classes: Sequence[str]) -> list[Difference]:
    """Every class that differs from real pictures, which have 1; of none, the class with the least."""
    what, words = contrast
    known = sorted((value, label) for value, label in zip(values, classes, strict=False) if value is not None)
    rows = [Difference(what.format(label=label), value, 1.0, is_share=False, words=words) for value, label in known]
    return [row for row in rows if not row.is_alike] or rows[:1]


def difference_rows(found: Sequence[Difference]) -> list[Row]:
    """A row a measure."""
    return [("measure", "samples", "real", "ratio", ""), *(one.row() for one in found)]


def difference_summary(found: Sequence[Difference]) -> str:
    """In a sentence, those that are not alike."""
    apart = [str(one) for one in found if not one.is_alike]
    if not apart:
        return f"No measure of this table differs from that of real pictures by more than {_ALIKE:.0%} of it."
    return f"Apart from real pictures by more than {_ALIKE:.0%}: {'; '.join(apart)}. The other measures are nearer."


# ---- by numbers of steps


def steps_rows(rows: Sequence[Mapping[str, str]]) -> list[Row]:
    """by_steps.csv for a reader: a column a judge, and the labels where they are known."""
    names = list(dict.fromkeys(row["judge"] for row in rows))
    has_labels = any(row["accuracy"] for row in rows)
    head: Row = ("steps", "evaluations", *(f"e in {name}" for name in names))
    shown: list[Row] = [(*head, "right label") if has_labels else head]
    for steps in dict.fromkeys(row["steps"] for row in rows):
        its = {row["judge"]: row for row in rows if row["steps"] == steps}
        first = its[names[0]]
        right = next((f"{float(row['accuracy']):.1%}" for row in its.values() if row["accuracy"]), "-")
        own = " (own)" if first["own"] == "1" else ""
        cells: Row = (f"{steps}{own}", first["evaluations"], *(_energy_text(its[name]) for name in names))
        shown.append((*cells, right) if has_labels else cells)
    return shown


def _energy_text(row: Mapping[str, str]) -> str:
    value, low, high = (float(row[name]) for name in ("energy", "low", "high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
