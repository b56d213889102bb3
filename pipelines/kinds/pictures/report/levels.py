"""The levels of pixels: which share of all values each has, in samples and in unseen pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.report.parts.chart import THEMES, legend, plot, x_ticks
from pipelines.report.parts.contrasts import Difference
from pipelines.report.parts.section import Picture

_LOW = 1 / 32  # of the levels, from the lowest: what a black background with a little noise stays within


def level_differences(samples: Sequence[float], unseen: Sequence[float]) -> list[Difference]:
    """The mean level and the shares at the ends; `samples` and `unseen` are each level's shares."""
    if len(samples) < 2:
        return []
    top = len(samples) - 1
    low = max(1, round(len(samples) * _LOW))

    def pair(what: str, places: Sequence[int], words: str = "") -> Difference:
        mine, real = (sum(side[place] for place in places) for side in (samples, unseen))
        return Difference(what, mine, real, is_share=True, words=words)

    mean, its = (sum(level * share for level, share in enumerate(side)) for side in (samples, unseen))
    return [
        Difference("mean level", mean, its, is_share=False, words=f"of 0 to {top}"),
        pair("values at level 0", [0], "black, as a plain background has it"),
        pair(f"values at most {low}", range(low + 1), "black, or so little above it that no eye sees it"),
        pair(f"values at level {top}", [top]),
    ]


def levels_plot(samples: Sequence[float], unseen: Sequence[float]) -> Picture | None:
    """Which share of all values is at most a level."""
    if len(samples) < 2:
        return None
    level = np.arange(len(samples))

    def draw(ax: Any, theme: str) -> None:
        ink, _, line = THEMES[theme]
        ax.step(level, np.cumsum(unseen), where="post", color=ink, linewidth=1.2, linestyle="--", label="unseen")
        ax.step(level, np.cumsum(samples), where="post", color=line, linewidth=1.8, label="samples")
        ax.set_xscale("symlog", linthresh=1, base=2)
        x_ticks(ax, [0, *(2**power for power in range(0, 12, 2) if 2**power < len(level)), len(level) - 1])
        ax.set_ylim(0, 1.03)
        ax.set_xlabel("level", fontsize=9)
        legend(ax, theme, "lower right")

    title = "share of values up to a level"
    return plot("levels.png", title, f"{title}, of samples and of unseen pictures", draw)
