"""The same seeds at several numbers of steps: how far the samples are from the data, and at what cost.

The rows have the columns steps, evaluations (of the network, for one sample), own (1: the bundle's own number), judge,
energy with low and high, and accuracy (empty where labels are not known).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.report.parts.chart import SERIES, THEMES, legend, plot, x_ticks
from pipelines.report.parts.section import Picture, Row

StepRow = Mapping[str, str]


def steps_rows(rows: Sequence[StepRow]) -> list[Row]:
    """A table for a reader: a column a judge, and the labels where they are known."""
    names = _judges(rows)
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


def costs(rows: Sequence[StepRow]) -> dict[str, str]:
    """Each number of steps with its caption."""
    return {row["steps"]: f"{row['steps']} steps, {row['evaluations']} network evaluations a sample" for row in rows}


def quality_plot(rows: Sequence[StepRow], limit: float) -> Picture:
    """How far the samples are from the data against what they cost; a ring marks the bundle's own recipe."""
    lines = {name: [row for row in rows if row["judge"] == name] for name in _judges(rows)}
    ticks = sorted({int(row["evaluations"]) for row in rows})

    def draw(ax: Any, theme: str) -> None:
        ink = THEMES[theme][0]
        for (name, its), colour in zip(lines.items(), SERIES[theme], strict=False):
            cost = [int(row["evaluations"]) for row in its]
            value, low, high = ([float(row[column]) for row in its] for column in ("energy", "low", "high"))
            ax.errorbar(
                cost, value, yerr=(np.subtract(value, low), np.subtract(high, value)), color=colour, marker="o",
                markersize=4, linewidth=1.6, elinewidth=1, capsize=3, label=name,
            )  # fmt: skip
            own = next(place for place, row in enumerate(its) if row["own"] == "1")
            ax.plot(cost[own], value[own], "o", markersize=11, markerfacecolor="none", markeredgecolor=ink)
        ax.axhline(limit, color=ink, linewidth=0.8, linestyle="--")
        ax.set_ylim(bottom=min(0.0, *(float(row["low"]) for row in rows)))
        ax.set_xscale("log")
        x_ticks(ax, ticks)
        ax.set_xlabel("network evaluations a sample (ring: the bundle's own)", fontsize=9)
        if len(lines) > 1:
            legend(ax, theme)

    title = f"e, real data = 0, dashed: the limit {limit:g}"
    return plot("quality.png", title, f"{title}, against network evaluations", draw)


def _judges(rows: Sequence[StepRow]) -> list[str]:
    return list(dict.fromkeys(row["judge"] for row in rows))


def _energy_text(row: StepRow) -> str:
    value, low, high = (float(row[name]) for name in ("energy", "low", "high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
