"""Metrics for tests: what a record says of those of pictures that a rule judges, and the numbers of a measure."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ddpm_core.metrics.accuracy import accuracy_metric
from ddpm_core.metrics.distances import ratio_metric
from ddpm_core.metrics.golden import golden_metric
from ddpm_core.metrics.likeness import energy_metric, lost_metric
from ddpm_core.metrics.memorisation import LONE, NEAR
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.pixels import CONSTANT, DUPLICATE
from ddpm_core.metrics.roughness import ROUGH


def described(
    judges: tuple[str, ...] = ("classifier",), classes: int = 10, distance: str = "fcd", golden: bool = True
) -> list[dict[str, Any]]:
    judged = [metric(judge) for judge in judges for metric in (energy_metric, lost_metric)]
    label = accuracy_metric(classes)
    of_pictures = [ratio_metric(distance, "test"), *judged, ROUGH, CONSTANT, DUPLICATE, label, NEAR, LONE]
    return [metric.described() for metric in (*of_pictures, golden_metric(None, golden))]


def numbers(metrics: Iterable[Metric], confidence: float = 0.95) -> dict[str, float]:
    """The flat numbers of metrics, not rounded."""
    return {name: value for metric in metrics for name, value in metric.flat(confidence).items()}


def eval_data(**fields: Any) -> Any:
    """As much of the data as one measure looks at."""
    return SimpleNamespace(**fields)
