"""Samples beside real data: what is measured of both alike, in a table and in a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddpm_core.metrics.metric import Metric
from pipelines.report.parts.section import Paragraph, Part, Row, Table

PerClass = Mapping[str, Sequence[float | None]]
_ALIKE = 0.2  # a value that differs from that of real data by less than this share of it is called alike


@dataclass(frozen=True)
class Difference:
    """What is measured of samples and of unseen real data alike."""

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


def differences(metrics: Sequence[Metric], per_class: PerClass, classes: Sequence[str]) -> list[Difference]:
    """Of each metric that has a contrast: the samples' number and that of real data."""
    rows: list[Difference] = []
    real = {metric.name: metric.value for metric in metrics}
    for metric in metrics:
        if metric.contrast is None or metric.value is None:
            continue
        if metric.by_class:
            rows += _of_classes(metric.contrast, per_class.get(metric.by_class, ()), classes)
        elif (floor := real.get(metric.floor)) is not None:
            what, words = metric.contrast
            rows.append(Difference(what, metric.value, floor, is_share=metric.share, words=words))
    return rows


def _of_classes(contrast: tuple[str, str], values: Sequence[float | None], classes: Sequence[str]) -> list[Difference]:
    """Every class that differs from real data, which have 1; of none, the class with the least."""
    what, words = contrast
    known = sorted((value, label) for value, label in zip(values, classes, strict=False) if value is not None)
    rows = [Difference(what.format(label=label), value, 1.0, is_share=False, words=words) for value, label in known]
    return [row for row in rows if not row.is_alike] or rows[:1]


def difference_parts(found: Sequence[Difference], real: str) -> list[Part]:
    """In a sentence those that are not alike, and a table of all; `real` is what real data are called."""
    return [
        Paragraph(_summary(found, real)),
        Table([("measure", "samples", "real", "ratio", ""), *(one.row() for one in found)], "noted"),
    ]


def _summary(found: Sequence[Difference], real: str) -> str:
    apart = [str(one) for one in found if not one.is_alike]
    if not apart:
        return f"No measure of this table differs from that of {real} by more than {_ALIKE:.0%} of it."
    return f"Apart from {real} by more than {_ALIKE:.0%}: {'; '.join(apart)}. The other measures are nearer."
