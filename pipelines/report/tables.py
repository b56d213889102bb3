"""The tables of the report, from the metrics of the measurement."""

import math
from collections.abc import Mapping, Sequence

from ddpm_core.gate.rules import number
from ddpm_core.metrics.metric import Metric
from pipelines.report.parts.section import Row


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
    """A row a class, a column a measure; "-" where a class has nothing to measure by."""
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
