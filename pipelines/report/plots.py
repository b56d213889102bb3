"""The plots of the report, each in a light and a dark twin; the same bytes for the same numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.report.parts.chart import SERIES, THEMES, legend, plot, x_ticks
from pipelines.report.parts.section import Picture

Floats = NDArray[np.float64]
_QUARTERS = ("least noise", "second quarter", "third quarter", "most noise")
_RULER = (0.0, 0.01, 0.1, 1.0)
_RUNS = 16  # of levels, over which the terms of the bound are averaged


def curve_plots(columns: Mapping[str, Sequence[float]]) -> list[Picture]:
    """The loss (with a running mean), the gradient's norm and the learning rate over the updates."""
    steps = np.asarray(columns.get("step", ()), dtype=float)
    if len(steps) < 2:
        return []
    titles = {"loss": "loss", "grad_norm": "norm of the gradient", "lr": "learning rate"}

    def drawn(name: str, title: str) -> Picture:
        values = np.asarray(columns[name], dtype=float)

        def draw(ax: Any, theme: str) -> None:
            _, grid, line = THEMES[theme]
            if name == "lr":
                ax.plot(steps, values, color=line, linewidth=1.5)
            else:
                ax.plot(steps, values, color=grid, linewidth=1.0)
                ax.plot(steps, _smooth(values), color=line, linewidth=1.8)
                _log_y(ax, values)
            ax.set_xlabel("update", fontsize=9)

        return plot(f"curve_{name}.png", title, f"{title} over the updates", draw)

    return [drawn(name, title) for name, title in titles.items() if name in columns]


def level_loss_plot(columns: Mapping[str, Sequence[float]]) -> Picture | None:
    """The training loss in each quarter of the noise levels."""
    steps = np.asarray(columns.get("step", ()), dtype=float)
    bands = [name for name in (f"loss_band_{place + 1}" for place in range(len(_QUARTERS))) if name in columns]
    if len(steps) < 2 or len(bands) < len(_QUARTERS):
        return None
    curves = [_smooth(np.asarray(columns[name], dtype=float)) for name in bands]

    def draw(ax: Any, theme: str) -> None:
        for curve, colour, words in zip(curves, SERIES[theme], _QUARTERS, strict=False):
            ax.plot(steps, curve, color=colour, linewidth=1.6, label=words)
        _log_y(ax, np.concatenate(curves))
        ax.set_xlabel("update", fontsize=9)
        legend(ax, theme)

    words = "training loss by level of noise"
    return plot("loss_by_level.png", words, f"{words}, over the updates", draw)


def bound_plot(t: Sequence[float], bits: Sequence[float], drawn: Sequence[float]) -> Picture | None:
    """The terms of the bound on unseen data over t: each level, and means over runs of levels; `drawn` weights them."""
    level, value, weight = (np.asarray(column, dtype=float) for column in (t, bits, drawn))
    if len(level) < 2:
        return None
    edges = np.unique(np.geomspace(1, level.max() + 1, _RUNS + 1))
    run = np.digitize(level, edges)
    runs = [run == number for number in np.unique(run)]
    means = [
        (np.average(level[rows], weights=weight[rows]), np.average(value[rows], weights=weight[rows])) for rows in runs
    ]

    def draw(ax: Any, theme: str) -> None:
        _, grid, line = THEMES[theme]
        ax.scatter(level, value, s=7, color=grid)
        ax.plot(*zip(*means, strict=True), color=line, linewidth=1.8)
        ax.set_xscale("log")
        _log_y(ax, value, plain_ticks=False)
        ax.set_xlabel("t", fontsize=9)

    title = "bits/dim of each term, unseen data"
    return plot("bound.png", title, "the terms of the bound on bits per dimension, over t", draw)


@dataclass(frozen=True)
class Mark:
    """A value on the ruler, with its interval if it has one."""

    name: str
    value: float
    low: float
    high: float
    is_model: bool
    is_blocked: bool


def ruler_plot(judge: str, marks: Sequence[Mark], limit: float) -> Picture:
    """The model and the controls by their e: 0 are real data, 0.1 ten of them repeated, 1 a single one."""

    def draw(ax: Any, theme: str) -> None:
        ink, grey, line = THEMES[theme]
        ordered = sorted(marks, key=lambda mark: -mark.value)
        for place, mark in enumerate(ordered):
            colour = line if mark.is_model else grey if mark.is_blocked else SERIES[theme][1]
            ax.plot([mark.low, mark.high], [place, place], color=colour, linewidth=3.0, solid_capstyle="round")
            ax.plot(mark.value, place, "D" if mark.is_model else "o", color=colour, markersize=6)
        ax.axvline(limit, color=ink, linewidth=0.8, linestyle="--")
        ax.set_xscale("symlog", linthresh=0.01, linscale=0.5)
        x_ticks(ax, _RULER)
        ax.set_xlim(min(-0.002, *(mark.low for mark in marks)), max(1.5, *(1.2 * mark.high for mark in marks)))
        names = [f"{mark.name} (passes)" if not (mark.is_blocked or mark.is_model) else mark.name for mark in ordered]
        ax.set_yticks(range(len(ordered)), names, fontsize=8)
        ax.set_xlabel("0: real data, 1: one example repeated", fontsize=9)

    title = f"e in {judge} (limit {limit:g})"
    return plot(f"ruler_{judge}.png", title, f"e of the model and of the controls, in the features of {judge}", draw)


def classes_plot(names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Picture | None:
    """How many examples each class has in each split."""
    if not names or len(names) > 60:
        return None
    places, width = np.arange(len(names)), 0.8 / len(counts)

    def draw(ax: Any, theme: str) -> None:
        _, grid, line = THEMES[theme]
        for number, (split, heights) in enumerate(counts.items()):
            shift = (number - (len(counts) - 1) / 2) * width
            ax.bar(places + shift, heights, width, label=split, color=(line, grid)[number % 2])
        ax.set_xticks(places, names, rotation=0 if max(map(len, names)) < 4 else 60, fontsize=8)
        ax.set_ylim(0, 1.25 * max(max(heights) for heights in counts.values()))
        legend(ax, theme, "upper right", len(counts))

    return plot("classes.png", "examples of each class", "examples of each class in each split", draw)


# ---- parts


def _log_y(ax: Any, values: Floats, *, plain_ticks: bool = True) -> None:
    """A logarithmic axis where all values are positive, with ticks at plain numbers that lie within the values."""
    if not len(values) or not (values > 0).all():
        return
    ax.set_yscale("log")
    if plain_ticks:
        low, high = values.min() / 1.15, values.max() * 1.15
        parts = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if high < 1000 * low else (1,)
        ticks = [part * 10.0**power for power in range(-9, 9) for part in parts if low <= part * 10.0**power <= high]
        ax.set_ylim(low, high)
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_yticks([], minor=True)


def _smooth(values: Floats) -> Floats:
    """A running mean over a twentieth of the curve, shorter at its ends."""
    width = min(max(1, len(values) // 20), (len(values) - 1) // 2)
    kernel = np.ones(2 * width + 1)
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones_like(values), kernel, mode="same")
