"""Plots as PNG bytes, the same bytes for the same numbers. matplotlib is imported here and nowhere else.

`plot` draws for the report's page, `chart` for a file of its own.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.parts.section import Picture

THEMES = {"light": ("#1a1a1a", "#c8c8c8", "#2563a8"), "dark": ("#e6e6e6", "#555555", "#7ab8f5")}
"""Ink, grid and line."""
SERIES = {
    "light": ("#2563a8", "#d55e00", "#12805c", "#a8479d"),
    "dark": ("#7ab8f5", "#ff9d5c", "#62c98a", "#e39be0"),
}
"""Lines that are told apart."""
# Told apart by those who see no red or green, and by their markers in print (Okabe & Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#1a1a1a", "#8c564b", "#7f7f7f")
_MARKERS = "os^Dv<>Px"


@dataclass(frozen=True)
class Line:
    """Points joined by a line; an empty label keeps it out of the legend."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    markers: bool = True


@dataclass(frozen=True)
class Panel:
    """One plot: lines, and level lines across it that mark values to compare with."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    levels: Sequence[tuple[str, float]] = ()
    x_ticks: Sequence[float] = ()
    y_ticks: Sequence[float] = ()
    y_limits: tuple[float, float] | None = None


def chart(panels: Sequence[Panel]) -> bytes:
    """Panels side by side on white, both axes logarithmic, with one legend for all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * len(panels) + 0.6, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for place, panel in enumerate(panels):
        _draw(figure.add_subplot(1, len(panels), place + 1), panel)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=9)
    return png(figure)


def _draw(ax: Any, panel: Panel) -> None:
    ax.set(xscale="log", yscale="log", title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    for number, line in enumerate(panel.lines):
        marker = _MARKERS[number % len(_MARKERS)] if line.markers else None
        colour = _COLOURS[number % len(_COLOURS)]
        ax.plot(line.x, line.y, label=line.label or None, color=colour, marker=marker, markersize=4.5, linewidth=1.5)
    for text, height in panel.levels:
        ax.axhline(height, color="#7f7f7f", linewidth=1.0, linestyle="--")
        ax.annotate(
            text, (0.0, height), xycoords=("axes fraction", "data"), xytext=(6, -4), textcoords="offset points",
            va="top", fontsize=8, color="#555555",
        )  # fmt: skip
    for axis, ticks in ((ax.xaxis, panel.x_ticks), (ax.yaxis, panel.y_ticks)):
        if ticks:
            axis.set_ticks(list(ticks), [f"{tick:g}" for tick in ticks])
            axis.set_ticks([], minor=True)
    if panel.y_limits is not None:
        ax.set_ylim(*panel.y_limits)
    ax.grid(color="#e4e4e4", linewidth=0.7)
    ax.spines[["top", "right"]].set_visible(False)


def plot(name: str, title: str, alt: str, draw: Callable[[Any, str], None]) -> Picture:
    """A small plot in a light and a dark twin; `draw(ax, theme)` takes its colours from THEMES and SERIES."""

    def drawn(theme: str) -> bytes:
        figure, ax = _small_figure(theme)
        draw(ax, theme)
        ax.set_title(title, fontsize=10, color=THEMES[theme][0])
        return png(figure)

    return Picture(name, alt, drawn("light"), drawn("dark"))


def legend(ax: Any, theme: str, place: str = "best", columns: int = 1) -> None:
    """The labels of what was drawn, in the ink of the theme."""
    ax.legend(frameon=False, fontsize=8, labelcolor=THEMES[theme][0], loc=place, ncols=columns)


def x_ticks(ax: Any, ticks: Sequence[float]) -> None:
    """These ticks as plain numbers, and no others."""
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


def _small_figure(theme: str) -> tuple[Any, Any]:
    """A small plot without a background, for a page in that theme."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, grid, _ = THEMES[theme]
    figure = Figure(figsize=(4.0, 2.7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    ax = figure.add_subplot()
    ax.patch.set_alpha(0.0)
    ax.tick_params(colors=ink, which="both", labelsize=8)
    ax.xaxis.label.set_color(ink)
    ax.yaxis.label.set_color(ink)
    for side, spine in ax.spines.items():
        spine.set_color(grid)
        spine.set_visible(side in ("left", "bottom"))
    return figure, ax


def png(figure: Any) -> bytes:
    """The figure's bytes, which say nothing of the program that drew it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
