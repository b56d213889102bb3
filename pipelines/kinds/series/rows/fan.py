"""Fan charts: what was told of a series, and the median and the central 50 % and 90 % of its samples.

`png` draws with Pillow alone, so that serving can; `draw_on` draws the same fan on an axis of the report.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles of a fan: the ends of the central 90 % and 50 %, and the median."""

Run = tuple[int, int]
"""The first place and the one after the last."""


@dataclass(frozen=True, eq=False)
class Fan:
    """One column of one series in W places: `told` [W], `samples` [n, W] and, where it is known, `truth` [W].

    NaN where a value was not told, not sampled or is not known. `ends` are the times of the first and last place.
    """

    title: str
    told: NDArray[np.floating]
    samples: NDArray[np.floating]
    truth: NDArray[np.floating] | None = None
    ends: tuple[str, str] = ("", "")

    @classmethod
    def forecast(
        cls,
        title: str,
        history: NDArray[np.floating],
        samples: NDArray[np.floating],
        truth: NDArray[np.floating] | None = None,
        ends: tuple[str, str] = ("", ""),
    ) -> "Fan":
        """Of a history [L], samples [n, H] of what follows it, and what did follow [H]."""
        before = np.full((len(samples), len(history)), np.nan)
        after = np.full(samples.shape[1], np.nan)
        return cls(
            title,
            np.concatenate([history, after]),
            np.concatenate([before, samples], axis=1),
            None if truth is None else np.concatenate([np.full(len(history), np.nan), truth]),
            ends,
        )

    @cached_property
    def quantiles(self) -> NDArray[np.float64]:
        """[len(LEVELS), W]; NaN where nothing was sampled."""
        found = np.full((len(LEVELS), len(self.told)), np.nan)
        at = np.isfinite(self.samples).all(axis=0)
        if at.any():
            found[:, at] = np.quantile(self.samples[:, at].astype(np.float64), LEVELS, axis=0)
        return found

    @cached_property
    def drawn(self) -> NDArray[np.float64]:
        """The quantiles with the told values beside each gap, where the fan begins and ends in a point."""
        sampled = np.isfinite(self.quantiles[0])
        found = self.quantiles.copy()
        for start, stop in runs(sampled):
            for place in (start - 1, stop):
                if 0 <= place < len(self.told):
                    found[:, place] = self.told[place]
        return found

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and highest value that is shown, and a twentieth more on either side."""
        parts = [self.told, self.quantiles.reshape(-1), *([] if self.truth is None else [self.truth])]
        shown = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
        shown = shown[np.isfinite(shown)]
        low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
        pad = (high - low) * 0.05 or max(abs(high) * 0.05, 0.5)
        return low - pad, high + pad


def runs(present: NDArray[np.bool_]) -> list[Run]:
    """The stretches of true places."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers between two ends: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10, 20) if high // (power * each) - low // (power * each) <= most)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


# ---- Pillow

_WIDTH, _HEIGHT, _SMOOTH = 400, 210, 3  # of a panel; drawn so many times as large and averaged
_LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND = 58, 12, 24, 24, 26
_INK, _GRID, _SOFT = (26, 26, 26), (228, 228, 228), (110, 110, 110)
# Told apart by those who see no red or green (Okabe & Ito 2008).
_OUTER, _INNER, _MEDIAN, _TOLD, _TRUTH = (205, 222, 240), (140, 182, 222), (0, 84, 150), (40, 40, 40), (213, 94, 0)


def png(fans: Sequence[Fan], across: int = 2, text: Mapping[str, str] | None = None) -> bytes:
    """A PNG with a panel for each fan, `across` in a row, and one legend. `text` are text chunks of the PNG."""
    columns = max(1, min(across, len(fans)))
    size = (columns * _WIDTH, -(-len(fans) // columns) * _HEIGHT + _LEGEND)
    image = Image.new("RGB", (size[0] * _SMOOTH, size[1] * _SMOOTH), "white")
    places = [(number % columns * _WIDTH, number // columns * _HEIGHT) for number in range(len(fans))]
    for fan, place in zip(fans, places, strict=True):
        _shapes(ImageDraw.Draw(image), fan, _Frame.of(fan, place))
    image = image.reduce(_SMOOTH)
    draw = ImageDraw.Draw(image)
    for fan, place in zip(fans, places, strict=True):
        _words(draw, fan, _Frame.of(fan, place))
    _legend(draw, size[1] - _LEGEND + 6, any(fan.truth is not None for fan in fans))
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_itxt(key, value)
    stream = io.BytesIO()
    image.save(stream, format="PNG", pnginfo=chunks)
    return stream.getvalue()


@dataclass(frozen=True)
class _Frame:
    """Where a panel is in the picture and what it shows."""

    left: int
    top: int
    places: int
    low: float
    high: float

    @classmethod
    def of(cls, fan: Fan, place: tuple[int, int]) -> "_Frame":
        return cls(*place, len(fan.told), *fan.limits)

    def x(self, place: float) -> float:
        return self.left + _LEFT + place / max(1, self.places - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self.top + _HEIGHT - _BOTTOM - (value - self.low) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)

    def large(self, place: float, value: float) -> tuple[float, float]:
        return self.x(place) * _SMOOTH, self.y(value) * _SMOOTH


def _shapes(draw: ImageDraw.ImageDraw, fan: Fan, frame: _Frame) -> None:
    for tick in ticks(frame.low, frame.high):
        draw.line((frame.large(0, tick), frame.large(frame.places - 1, tick)), fill=_GRID, width=_SMOOTH)
    for low, high, colour in ((0, 4, _OUTER), (1, 3, _INNER)):
        for start, stop in runs(np.isfinite(fan.drawn[0])):
            for part in _strips(fan, start, stop):
                upper = [frame.large(place, float(fan.drawn[high, place])) for place in part]
                lower = [frame.large(place, float(fan.drawn[low, place])) for place in reversed(part)]
                if len(part) == 1:  # a gap of one place without a neighbour
                    draw.line((*upper, *lower), fill=colour, width=4 * _SMOOTH)
                else:
                    draw.polygon(upper + lower, fill=colour)
    for start, stop in runs(np.isfinite(fan.drawn[0])):
        for part in _strips(fan, start, stop):
            _path(draw, frame, {place: float(fan.drawn[2, place]) for place in part}, _MEDIAN, 1.6)
    for values, colour, width in ((fan.told, _TOLD, 1.2), *([] if fan.truth is None else [(fan.truth, _TRUTH, 1.4)])):
        for start, stop in runs(np.isfinite(values)):
            _path(draw, frame, {place: float(values[place]) for place in range(start, stop)}, colour, width)


def _strips(fan: Fan, start: int, stop: int) -> list[list[int]]:
    """The places from start to stop, cut at told values, where one gap of a fan ends and the next begins."""
    inner = [place for place in range(start + 1, stop - 1) if np.isfinite(fan.told[place])]
    cuts = [start, *inner, stop - 1]
    found = [list(range(a, b + 1)) for a, b in pairwise(cuts)]
    return [part for part in found if np.isfinite(fan.quantiles[0, part]).any()]


def _path(
    draw: ImageDraw.ImageDraw, frame: _Frame, values: Mapping[int, float], colour: tuple[int, int, int], width: float
) -> None:
    """A line through the values; a dot for one alone."""
    points = [frame.large(place, value) for place, value in values.items()]
    if len(points) > 1:
        draw.line(points, fill=colour, width=round(width * _SMOOTH), joint="curve")
    else:
        (x, y), r = points[0], 2.2 * _SMOOTH
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _words(draw: ImageDraw.ImageDraw, fan: Fan, frame: _Frame) -> None:
    small, large = ImageFont.load_default(10), ImageFont.load_default(12)
    draw.text((frame.left + _LEFT, frame.top + 5), fan.title[:56], fill=_INK, font=large)
    for tick in ticks(frame.low, frame.high):
        draw.text((frame.left + _LEFT - 6, frame.y(tick)), f"{tick:.6g}", fill=_SOFT, font=small, anchor="rm")
    below = frame.top + _HEIGHT - _BOTTOM + 5
    draw.text((frame.x(0), below), fan.ends[0], fill=_SOFT, font=small)
    draw.text((frame.x(frame.places - 1), below), fan.ends[1], fill=_SOFT, font=small, anchor="ra")


def _legend(draw: ImageDraw.ImageDraw, top: int, truth: bool) -> None:
    font, x = ImageFont.load_default(11), float(_LEFT)
    named = [("told", _TOLD, 2), ("median", _MEDIAN, 2), ("50 %", _INNER, 9), ("90 %", _OUTER, 9)]
    for name, colour, height in [*named, *([("truth", _TRUTH, 2)] if truth else [])]:
        draw.rectangle((x, top + 7 - height / 2, x + 18, top + 7 + height / 2), fill=colour)
        draw.text((x + 23, top + 7), name, fill=_INK, font=font, anchor="lm")
        x += 23 + draw.textlength(name, font=font) + 16


# ---- the report


def draw_on(ax: Any, fan: Fan, ink: str, blue: str, orange: str) -> None:
    """The fan on an axis of `pipelines.report.parts.chart.plot`, in the colours of its theme."""
    places = np.arange(len(fan.told))
    for start, stop in runs(np.isfinite(fan.drawn[0])):
        for part in _strips(fan, start, stop):
            for low, high, alpha in ((0, 4, 0.22), (1, 3, 0.35)):
                ax.fill_between(part, fan.drawn[low, part], fan.drawn[high, part], color=blue, alpha=alpha, linewidth=0)
            ax.plot(part, fan.drawn[2, part], color=blue, linewidth=1.2, marker="." if len(part) == 1 else "")
    ax.plot(places, fan.told, color=ink, linewidth=0.9, marker=".", markersize=2)
    if fan.truth is not None:
        ax.plot(places, fan.truth, color=orange, linewidth=1.0, marker=".", markersize=2)
    ax.set_xlim(0, max(1, len(places) - 1))
    ax.set_ylim(*fan.limits)
    ax.set_xticks([0, max(1, len(places) - 1)], list(fan.ends))
