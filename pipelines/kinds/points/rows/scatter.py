"""Points as a picture: panels side by side on the same scale, a colour a class. Pillow alone, so serving can draw."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

_SIDE, _MARGIN, _RADIUS = 420, 34, 2
_INK, _FRAME = (60, 60, 60), (200, 200, 200)
# Told apart by those who see no red or green (Okabe & Ito 2008); without a class the first.
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0), (26, 26, 26))


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points [n, 2] under a title, with the class of each, -1 for none."""

    title: str
    points: NDArray[np.float32]
    labels: NDArray[np.int64]


def scatter(clouds: Sequence[Cloud], classes: Sequence[str] = (), text: Mapping[str, str] | None = None) -> bytes:
    """A PNG with a panel for each cloud; all show the place that the points of the last one fill, and a tenth more.

    Points beyond are drawn on the frame. `text` are text chunks of the PNG.
    """
    low, high = _limits(clouds[-1].points)
    image = Image.new("RGB", (_SIDE * len(clouds), _SIDE), "white")
    draw = ImageDraw.Draw(image)
    for place, cloud in enumerate(clouds):
        _panel(draw, place * _SIDE, cloud, low, high)
    for number, name in enumerate(classes[: len(_COLOURS)]):
        draw.text((_MARGIN + 90 * number, _SIDE - 14), name[:14], fill=_colour(number))
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_itxt(key, value)
    stream = io.BytesIO()
    image.save(stream, format="PNG", pnginfo=chunks)
    return stream.getvalue()


def _limits(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners of the square about all points, a tenth larger."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    half = max(float((high - low).max()) * 0.55, 1e-6 * max(1.0, float(np.abs(points).max())))
    middle = (low + high) / 2
    return middle - half, middle + half


def _panel(
    draw: ImageDraw.ImageDraw, left: int, cloud: Cloud, low: NDArray[np.float64], high: NDArray[np.float64]
) -> None:
    inner = _SIDE - 2 * _MARGIN
    draw.rectangle((left + _MARGIN, _MARGIN, left + _SIDE - _MARGIN, _SIDE - _MARGIN), outline=_FRAME)
    draw.text((left + _MARGIN, 4), cloud.title, fill=_INK)
    draw.text((left + _MARGIN, 18), f"x {low[0]:.3g} to {high[0]:.3g}, y {low[1]:.3g} to {high[1]:.3g}", fill=_INK)
    share = np.clip((cloud.points - low) / (high - low), 0.0, 1.0)
    across = left + _MARGIN + share[:, 0] * inner
    down = _MARGIN + (1.0 - share[:, 1]) * inner
    for x, y, label in zip(across.tolist(), down.tolist(), cloud.labels.tolist(), strict=True):
        draw.ellipse((x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS), fill=_colour(max(0, label)))


def _colour(label: int) -> tuple[int, int, int]:
    return _COLOURS[label % len(_COLOURS)]
