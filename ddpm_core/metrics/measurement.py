"""What was measured of one model and under which conditions, and whether another was measured under the same."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diff import ABSENT, unequal
from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import Interval, Replicates, around
from ddpm_core.metrics.metric import Metric

# What the model itself brings: two models may differ in these and still be measured under equal conditions.
_OF_THE_MODEL = ("sampler", "guidance", "not_measured")


@dataclass(frozen=True, eq=False)
class Measurement:
    """A model's metrics and the record of how they were taken."""

    metrics: Mapping[str, float]
    record: Mapping[str, Any]

    @property
    def bundle(self) -> str:
        return str(self.record["provenance"]["bundle"])

    @property
    def conditions(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.record["conditions"]
        return found

    @cached_property
    def listed(self) -> tuple[Metric, ...]:
        """Every metric that the record describes, with its numbers."""
        try:
            return tuple(Metric.read(about, self.metrics) for about in self.record["metrics"])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"record.json must describe each metric (metrics), but {type(error).__name__}: {error}; run "
                "`ddpm evaluate` again"
            ) from error

    @property
    def confidence(self) -> float:
        return float(self.conditions["settings"]["confidence"])

    def differs_from(self, other: "Measurement") -> dict[str, tuple[str, str]]:
        """The conditions under which the two were not measured alike, each as a dotted name with both values."""
        mine, its = (of._comparable() for of in (self, other))
        return dict(sorted((name, (_short(own), _short(theirs))) for name, own, theirs in unequal(mine, its)))

    def _comparable(self) -> dict[str, Any]:
        """The conditions, and the metrics by which one model is held against another."""
        conditions = {name: value for name, value in self.conditions.items() if name not in _OF_THE_MODEL}
        return {**conditions, "metrics held against a champion's": [m.name for m in self.listed if m.champion]}

    def replicates(self, name: str) -> Replicates | None:
        """What each weighting of the samples adds to a number; None where the record does not say."""
        listed = self.record.get("replicates", {}).get(name)
        return None if listed is None else Replicates(*(_decoded(listed[part]) for part in ("linear", "curved")))

    def difference(self, name: str, other: "Measurement") -> Interval:
        """The interval of this model's number less the other's."""
        mine, its = self.replicates(name), other.replicates(name)
        if mine is None or its is None:
            raise DataError(
                f"record.json must hold the replicates of {name} to compare two models, and one of the two does not; "
                "run `ddpm evaluate` again"
            )
        return around(self.metrics[name] - other.metrics[name], mine.minus(its), self.confidence)


def recorded(metrics: Iterable[Metric]) -> dict[str, Any]:
    """What record.json holds of metrics: all but the numbers of metrics.json."""
    metrics = list(metrics)
    return {
        "metrics": [m.described() for m in metrics if m.value is not None or m.rule is not None],
        "replicates": encoded({m.name: m.replicates for m in metrics if m.replicates is not None}),
        "per_class": {m.by_class: _plain(m.class_values) for m in metrics if m.class_values is not None},
    }


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, to six digits; null where a class has none."""
    return [None if np.isnan(value) else float(f"{value:.6g}") for value in values]


def encoded(replicates: Mapping[str, Replicates]) -> dict[str, dict[str, str]]:
    """For the record: little-endian float32 in base64, five bytes or six a number."""
    return {
        name: {part: _encoded(values) for part, values in (("linear", of.linear), ("curved", of.curved))}
        for name, of in replicates.items()
    }


def _encoded(values: Any) -> str:
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def _decoded(text: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)


def _short(value: Any) -> str:
    text = "absent" if value is ABSENT else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def refuse_unless_alike(one: Measurement, other: Measurement) -> None:
    """DataError that says in what the conditions of two measurements differ, if they do."""
    different = one.differs_from(other)
    if different:
        lines = "\n  ".join(f"{name}: {mine} against {its}" for name, (mine, its) in different.items())
        raise DataError(
            f"two measurements must have been taken under equal conditions to be compared, and these differ in:\n  "
            f"{lines}\nMeasure one of them again under the other's conditions: `ddpm evaluate --bundle PATH`."
        )
