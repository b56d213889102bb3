"""A project's judged model, with all that advice rests on."""

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddpm_core.gate.rules import BLOCKING, RuleResult
from ddpm_core.gate.verdict import Verdict, verdict
from ddpm_core.metrics.measurement import Measurement
from pipelines.gate.record import read_own_measurement
from pipelines.kinds.advice import Judged
from pipelines.paths import Paths
from pipelines.shards.index import read_index

if TYPE_CHECKING:
    from pipelines.params import Params

_SURE = 3.0  # standard errors
LEAST_ROWS = 8
"""Of the loss curve, below which nobody can tell whether it still falls."""


def read_judged(paths: Paths, params: "Params") -> tuple[Verdict, Measurement, Judged]:
    """The verdict by today's rules, what was measured, and how the model was made."""
    found = read_own_measurement(paths)
    judged = verdict(found.metrics, found.record, params.gate)
    losses = _losses(paths)
    return judged, found, Judged(
        results=by_key(judged, found),
        params=params,
        examples=read_index(paths.shards).count("train"),
        still_falling=still_falling(losses),
        too_short=len(losses) < LEAST_ROWS,
        samples=paths.samples,
    )  # fmt: skip


def by_key(judged: Verdict, found: Measurement) -> dict[str, RuleResult]:
    """The result of each rule by its key in section gate; of several with one key, the first that blocks."""
    results = {rule.rule: rule for rule in judged.rules}
    keyed = {"min_samples": results["samples"]} if "samples" in results else {}
    for metric in found.listed:
        result = results.get(metric.rule.title) if metric.rule else None
        if metric.rule is None or result is None:
            continue
        key = metric.rule.limit
        if key not in keyed or (result.outcome in BLOCKING and keyed[key].outcome not in BLOCKING):
            keyed[key] = result
    return keyed


def still_falling(losses: Sequence[float]) -> float | None:
    """By which share the mean of the last quarter is below that of the quarter before; None where the line through both
    falls by no more than the losses scatter about it, or there are too few to tell."""
    quarter = len(losses) // 4
    if len(losses) < LEAST_ROWS:
        return None
    half = np.asarray(losses[-2 * quarter :])
    x = np.arange(len(half)) - (len(half) - 1) / 2
    slope = float((x * half).sum() / (x**2).sum())
    residuals = half - half.mean() - slope * x
    error = np.sqrt((residuals**2).sum() / (len(half) - 2) / (x**2).sum())
    before, last = half[:quarter].mean(), half[quarter:].mean()
    return float((before - last) / abs(before)) if before > last and -slope > _SURE * error else None


def _losses(paths: Paths) -> list[float]:
    if not paths.curves.is_file():
        return []  # a model from elsewhere
    with paths.curves.open(encoding="utf-8", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
