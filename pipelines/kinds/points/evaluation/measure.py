"""All that stage evaluate finds out about samples that are points."""

import csv
import io
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

from ddpm_core.metrics.counts import counts
from ddpm_core.metrics.metric import flat
from ddpm_core.metrics.sliced_wasserstein import RATIO
from ddpm_core.spec import labels_in
from pipelines.evaluation.evaluation import Evaluation, Measured
from pipelines.evaluation.reference import Reference
from pipelines.kinds.points.evaluation.config import PointsEvaluateConfig
from pipelines.kinds.points.evaluation.measures import RealPoints
from pipelines.kinds.points.reference.controls import WORDS, Control
from pipelines.kinds.points.rows.scatter import Cloud, scatter

SAMPLES = "samples.csv"
COLUMNS = ("x", "y", "label", "seed")


def measure(of: Evaluation) -> Measured:
    config: PointsEvaluateConfig = of.config
    told, spec = of.sampler.bundle.spec, of.spec
    asked = labels_in(told, of.cond, len(of.x))
    sides = [(spec.encode(split.x), labels_in(spec, split.cond, len(split))) for split in (of.train, of.test)]
    real = RealPoints(*sides[0], *sides[1], asked, config)
    samples = spec.encode(of.x)
    metrics = list(real.measures(samples, asked))
    if len(told.classes) > 1:
        metrics += real.of_classes(samples, asked, len(told.classes))
    return Measured(
        metrics=tuple(metrics),
        controls=score_controls(real, _controls(of.reference)),
        conditions={
            "classes": len(spec.classes),
            "scaling": spec.to_dict()["scaling"],
            "versions": {"numpy": version("numpy")},
        },
        files={
            "grid.png": scatter(
                [Cloud("samples", of.x, asked), Cloud("unseen points", of.test.x, sides[1][1])], spec.classes
            ),
            SAMPLES: _table(of, asked),
        },
    )


def score_controls(real: RealPoints, made: Iterable[Control]) -> dict[str, dict[str, Any]]:
    """What the gate's rules look at of each control."""
    scored = {}
    for control in made:
        n = len(control.points)
        metrics = [*real.measures(control.points, np.full(n, -1)), *counts(n, len(real.test), len(real.train))]
        if control.name == "copies":  # lie as near to unseen points as any can, so no distance speaks against them
            metrics = [metric for metric in metrics if metric.name != RATIO.name]
        numbers = flat(metrics, real.config.confidence)
        scored[control.name] = {"words": control.words, "gross": control.gross, "metrics": numbers}
    return scored


def _controls(reference: Reference) -> Iterator[Control]:
    with np.load(io.BytesIO(reference.files["controls.npz"]), allow_pickle=False) as arrays:
        yield from (Control(name, arrays[name]) for name in WORDS if name in arrays.files)


def _table(of: Evaluation, asked: Any) -> bytes:
    """Every sample with its label (-1: none) and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((*point, label, seed) for point, label, seed in zip(of.x, asked, of.seeds, strict=True))
    return text.getvalue().encode()
