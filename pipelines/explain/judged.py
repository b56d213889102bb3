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


def read_judged(paths: Paths, params: "Params") -> tuple[Verdict, Measurement, Judged]:
    """The verdict by today's rules, what was measured, and how the model was made."""
    found = read_own_measurement(paths)
    judged = verdict(found.metrics, found.record, params.gate)
    return judged, found, Judged(
        results=by_key(judged, found),
        params=params,
        examples=read_index(paths.shards).count("train"),
        still_falling=still_falling(_losses(paths)),
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
    """By which share the mean of the last quarter is below that of the quarter before; None within their scatter."""
    quarter = len(losses) // 4
    if quarter < 4:
        return None
    before, last = (np.asarray(part) for part in (losses[-2 * quarter : -quarter], losses[-quarter:]))
    fall = before.mean() - last.mean()
    error = np.sqrt((before.var(ddof=1) + last.var(ddof=1)) / quarter)
    return float(fall / abs(before.mean())) if before.mean() and fall > _SURE * error else None


def _losses(paths: Paths) -> list[float]:
    if not paths.curves.is_file():
        return []  # a model from elsewhere
    with paths.curves.open(encoding="utf-8", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
