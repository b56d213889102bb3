"""Pictures that benchmarks/gate_data.py draws itself: letters in the fonts that matplotlib carries, and patterns."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif"),
    *(
        "DejaVuSerif-Bold",
        "DejaVuSerif-Italic",
        "STIXGeneral",
        "STIXGeneralBol",
        "STIXGeneralItalic",
        "cmss10",
        "cmtt10",
    ),
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KINDS = ("stripes", "checks", "dots", "rings", "waves", "clouds")
_SIDE = 32


def letters(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Capitals of 28 x 28, white on black, each of another size, turn and place; and which letter each is."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(0)
    labels = np.arange(n) % len(_LETTERS)
    images = np.empty((n, 1, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        font = ImageFont.truetype(folder / f"{rng.choice(_FONTS)}.ttf", int(rng.integers(68, 92)))
        picture = Image.new("L", (112, 112))
        place = tuple(56 + int(shift) for shift in rng.integers(-8, 9, 2))
        ImageDraw.Draw(picture).text(place, _LETTERS[label], 255, font, anchor="mm")
        turned = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC)
        image[0] = np.asarray(turned.resize((28, 28), Image.Resampling.BOX))
    return images, labels


def patterns(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two colours mixed by one of six kinds of pattern, 32 x 32; and which kind each is."""
    rng = np.random.default_rng(1)
    labels = np.arange(n) % len(KINDS)
    images = np.empty((n, 3, _SIDE, _SIDE), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        share = _mix(KINDS[label], rng)
        low, high = rng.uniform(0, 110, (3, 1, 1)), rng.uniform(145, 255, (3, 1, 1))
        image[:] = np.rint(low + (high - low) * share)
    return images, labels


def _mix(kind: str, rng: np.random.Generator) -> np.ndarray:
    """How much of the second colour each pixel has, 0 to 1."""
    y, x = np.mgrid[:_SIDE, :_SIDE] - rng.uniform(8, 24, (2, 1, 1))
    turn, wave = rng.uniform(0, np.pi), 2 * np.pi / rng.uniform(6, 14)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    if kind == "stripes":
        value = np.sin(wave * along)
    elif kind == "checks":
        value = 1.5 * np.sin(wave * along) * np.sin(wave * across)
    elif kind == "dots":
        value = 2.0 * np.cos(wave * along) * np.cos(wave * across) - 0.8
    elif kind == "rings":
        value = np.sin(wave * np.hypot(x, y))
    elif kind == "waves":
        value = np.sin(wave * along + 2.0 * np.sin(0.5 * wave * across))
    else:
        spectrum = np.fft.fft2(rng.normal(size=(_SIDE, _SIDE)))
        frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.fftfreq(_SIDE))
        smooth = np.fft.ifft2(spectrum / (frequency + 1 / _SIDE) ** 1.5).real
        value = (smooth - smooth.mean()) / smooth.std() / 1.5
    return np.clip(0.5 + 0.5 * value, 0.0, 1.0)
