"""Drift as rows that the contract judges: a row a distance, with its levels and whether they are passed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.contract.config import DriftConfig
from pipelines.validation.compare import Measure, compare, incomparable
from pipelines.validation.summary import DataSummary

SUITE = Path(__file__).resolve().parent / "drift.json"
TABLE = "drift"
NAMED_BY = ("measure", "accepted", "now", "distance", "at_least")
_DIGITS = 4


def drift_rows(accepted: DataSummary | None, now: DataSummary, config: DriftConfig) -> list[dict[str, Any]]:
    """None where no data were accepted yet. What cannot be compared is above the level of warning."""
    if accepted is None:
        return []
    rows = [_row(measure, config) for measure in compare(accepted, now)]
    if reason := incomparable(accepted, now):
        rows.append(
            {
                "measure": "comparable",
                "accepted": reason[0],
                "now": reason[1],
                "distance": 1.0,
                "at_least": 1.0,
                "at_most": 1.0,
                "warning_level": 0.0,
                "breach_level": 1.0,
                "above_warning": True,
                "above_breach": False,
            }
        )
    return rows


def _row(measure: Measure, config: DriftConfig) -> dict[str, Any]:
    warning, breach = (asdict(levels)[measure.level] for levels in (config.warning, config.breach))
    return {
        "measure": measure.name,
        "accepted": measure.accepted,
        "now": measure.now,
        "distance": round(measure.value, _DIGITS),
        "at_least": round(measure.interval.low, _DIGITS),
        "at_most": round(measure.interval.high, _DIGITS),
        "warning_level": warning,
        "breach_level": breach,
        "above_warning": measure.interval.low > warning,
        "above_breach": measure.interval.low > breach,
    }


def is_above(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["above_warning"] for row in rows)
