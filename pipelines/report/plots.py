"""The plots of the report, each in a light and a dark twin; the same bytes for the same numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.report.chart import SERIES, THEMES, png, small_figure
from pipelines.report.page import Picture

Floats = NDArray[np.float64]
_QUARTERS = ("least noise", "second quarter", "third quarter", "most noise")
_RULER = (0.0, 0.01, 0.1, 1.0)
_RUNS = 16  # of levels, over which the terms of the bound are averaged


def curves_pictures(columns: Mapping[str, Sequence[float]]) -> list[Picture]:
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
                _plain_y(ax, values)
            ax.set_xlabel("update", fontsize=9)

        return _picture(f"curve_{name}.png", title, f"{title} over the updates", draw)

    return [drawn(name, title) for name, title in titles.items() if name in columns]


def level_loss_picture(columns: Mapping[str, Sequence[float]]) -> Picture | None:
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
        _plain_y(ax, np.concatenate(curves))
        ax.set_xlabel("update", fontsize=9)
        _legend(ax, theme)

    words = "training loss by level of noise"
    return _picture("loss_by_level.png", words, f"{words}, over the updates", draw)


def bound_picture(t: Sequence[float], bits: Sequence[float], pictures: Sequence[float]) -> Picture | None:
    """The terms of the bound on unseen pictures over t: each level, and means over runs of levels."""
    level, value, weight = (np.asarray(column, dtype=float) for column in (t, bits, pictures))
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
        _log_y(ax, value)
        ax.set_xlabel("t", fontsize=9)

    title = "bits/dim of each term, unseen pictures"
    return _picture("bound.png", title, "the terms of the bound on bits per dimension, over t", draw)


@dataclass(frozen=True)
class QualityLine:
    """e in one judge's features at several numbers of network evaluations, with the ends of its intervals."""

    name: str
    evaluations: Sequence[int]
    energy: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    own: int  # the bundle's own number of evaluations


def quality_picture(lines: Sequence[QualityLine], limit: float) -> Picture:
    """How far the samples are from the data against what they cost; a ring marks the bundle's own recipe."""

    def draw(ax: Any, theme: str) -> None:
        ink = THEMES[theme][0]
        for line, colour in zip(lines, SERIES[theme], strict=False):
            reach = (np.subtract(line.energy, line.low), np.subtract(line.high, line.energy))
            ax.errorbar(
                line.evaluations, line.energy, yerr=reach, color=colour, marker="o", markersize=4, linewidth=1.6,
                elinewidth=1, capsize=3, label=line.name,
            )  # fmt: skip
            place = list(line.evaluations).index(line.own)
            ax.plot(line.own, line.energy[place], "o", markersize=11, markerfacecolor="none", markeredgecolor=ink)
        ax.axhline(limit, color=ink, linewidth=0.8, linestyle="--")
        ax.set_ylim(bottom=min(0.0, *(min(line.low) for line in lines)))
        ticks = sorted({count for line in lines for count in line.evaluations})
        ax.set_xscale("log")
        ax.set_xticks(ticks, [str(count) for count in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("network evaluations a sample (ring: the bundle's own)", fontsize=9)
        if len(lines) > 1:
            _legend(ax, theme)

    title = f"e, real images = 0, dashed: the limit {limit:g}"
    return _picture("quality.png", title, f"{title}, against network evaluations", draw)


@dataclass(frozen=True)
class Mark:
    """A value on the ruler, with its interval if it has one."""

    name: str
    value: float
    low: float
    high: float
    is_model: bool
    is_blocked: bool


def ruler_picture(judge: str, marks: Sequence[Mark], limit: float) -> Picture:
    """The model and the controls by their e: 0 are real pictures, 0.1 ten of them repeated, 1 a single one."""

    def draw(ax: Any, theme: str) -> None:
        ink, grey, line = THEMES[theme]
        ordered = sorted(marks, key=lambda mark: -mark.value)
        for place, mark in enumerate(ordered):
            colour = line if mark.is_model else grey if mark.is_blocked else SERIES[theme][1]
            ax.plot([mark.low, mark.high], [place, place], color=colour, linewidth=3.0, solid_capstyle="round")
            ax.plot(mark.value, place, "D" if mark.is_model else "o", color=colour, markersize=6)
        ax.axvline(limit, color=ink, linewidth=0.8, linestyle="--")
        ax.set_xscale("symlog", linthresh=0.01, linscale=0.5)
        ax.set_xticks(_RULER, [f"{tick:g}" for tick in _RULER])
        ax.set_xticks([], minor=True)
        ax.set_xlim(min(-0.002, *(mark.low for mark in marks)), max(1.5, *(1.2 * mark.high for mark in marks)))
        names = [f"{mark.name} (passes)" if not (mark.is_blocked or mark.is_model) else mark.name for mark in ordered]
        ax.set_yticks(range(len(ordered)), names, fontsize=8)
        ax.set_xlabel("e: 0 real pictures, 0.1 ten of them repeated, 1 a single one", fontsize=9)

    title = f"ruler in {judge}, dashed: the limit {limit:g}"
    return _picture(
        f"ruler_{judge}.png", title, f"e of the model and of the controls, in the features of {judge}", draw
    )


def levels_picture(samples: Sequence[float], unseen: Sequence[float]) -> Picture | None:
    """Which share of all values is at most a level."""
    if len(samples) < 2:
        return None
    level = np.arange(len(samples))

    def draw(ax: Any, theme: str) -> None:
        ink, _, line = THEMES[theme]
        ax.step(level, np.cumsum(unseen), where="post", color=ink, linewidth=1.2, linestyle="--", label="unseen")
        ax.step(level, np.cumsum(samples), where="post", color=line, linewidth=1.8, label="samples")
        ax.set_xscale("symlog", linthresh=1, base=2)
        ticks = [0, *(2**power for power in range(0, 12, 2) if 2**power < len(level)), len(level) - 1]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.set_ylim(0, 1.03)
        ax.set_xlabel("level", fontsize=9)
        _legend(ax, theme, "lower right")

    title = "share of values up to a level"
    return _picture("levels.png", title, f"{title}, of samples and of unseen pictures", draw)


def classes_picture(names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Picture | None:
    """How many images each class has in each split."""
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
        _legend(ax, theme, "upper right", len(counts))

    return _picture("classes.png", "images of each class", "images of each class in each split", draw)


# ---- parts


def _picture(name: str, title: str, alt: str, draw: Callable[[Any, str], None]) -> Picture:
    def made(theme: str) -> bytes:
        figure, ax = small_figure(theme)
        draw(ax, theme)
        ax.set_title(title, fontsize=10, color=THEMES[theme][0])
        return png(figure)

    return Picture(name, alt, made("light"), made("dark"))


def _log_y(ax: Any, values: Floats) -> None:
    if len(values) and (values > 0).all():
        ax.set_yscale("log")


def _plain_y(ax: Any, values: Floats) -> None:
    """On a logarithmic axis, ticks at plain numbers that lie within the values."""
    if ax.get_yscale() != "log":
        return
    shown = values[values > 0]
    low, high = shown.min() / 1.15, shown.max() * 1.15
    parts = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if high < 1000 * low else (1,)
    ticks = [part * 10.0**power for power in range(-9, 9) for part in parts if low <= part * 10.0**power <= high]
    ax.set_ylim(low, high)
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks([], minor=True)


def _legend(ax: Any, theme: str, place: str = "best", columns: int = 1) -> None:
    ax.legend(frameon=False, fontsize=8, labelcolor=THEMES[theme][0], loc=place, ncols=columns)


def _smooth(values: Floats) -> Floats:
    """A running mean over a twentieth of the curve, shorter at its ends."""
    width = min(max(1, len(values) // 20), (len(values) - 1) // 2)
    kernel = np.ones(2 * width + 1)
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones_like(values), kernel, mode="same")
