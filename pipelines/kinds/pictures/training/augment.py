"""Changes of a picture that leave its meaning: the only importer of torchvision.transforms.

What happens to a picture is a function of (seed, step, its place in the batch), drawn by our own generator and not by
torch's global one, which the reading thread must not touch: a resumed training sees the very same pictures, and of
several processes each changes its own rows alone. Every number is drawn whether it is needed or not, so that one change
asked for more moves no other. Flips and shifts move levels, of all pictures at once; all else is computed in float64
between 0 and 1 and rounded once, at the end. Many pictures at once give the very bits of torchvision's functions one
picture at a time.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.errors import ParamsError
from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Fill, Padded, Resized, Rotation

if TYPE_CHECKING:
    from torch import Tensor

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
Level = TypeVar("Level", np.uint8, np.float64)

_EVERY = slice(None)
_MODES = {"reflect": "reflect", "edge": "edge", "black": "constant"}
# Where a picture's uniform numbers stand: two flips; a crop (whether, and four more); a rotation (whether, and one
# more); colours (whether, four for their order, four for how much).
_FLIPS, _CROP, _ROTATION, _COLOUR = slice(0, 2), slice(2, 7), slice(7, 9), slice(9, 18)
_NUMBERS = 18
# Values of the pictures that torch is given at once. It shares out operations of 32,768 values or more, and a change
# of hue holds 4/3 as many as it is given: below this a thread that reads starts no further threads.
_VALUES_AT_ONCE = 24_000
_VALUES_IN_CACHE = 100_000  # of the pictures that are held in float64 at once


class Augment(Protocol):
    def __call__(self, images: Images, step: int, rows: slice = _EVERY) -> Images:
        """Rows of a whole batch [B, C, H, W], changed: the rows asked for, as the whole batch would have them."""
        ...


def augmenter(config: AugmentConfig, seed: int, spec: DataSpec) -> Augment:
    """`augment(images, step, rows)`; where no change is asked for, it hands the pictures through."""
    if config.changes_nothing:
        return lambda images, step, rows=_EVERY: images[rows]
    _check(config, spec)
    changes = _Changes(config, spec)

    def augment(images: Images, step: int, rows: slice = _EVERY) -> Images:
        numbers = generator(seed, Purpose.AUGMENT, step).random((len(images), _NUMBERS))
        return changes.of(images[rows], numbers[rows])

    return augment


class _Changes:
    """The changes of pictures [N, C, H, W], by their rows of uniform numbers."""

    def __init__(self, config: AugmentConfig, spec: DataSpec) -> None:
        import torch
        from torchvision.transforms.v2 import functional

        self._torch, self._do = torch, functional
        self._config, self._top = config, spec.top

    def of(self, images: Images, numbers: Values) -> Images:
        config, out = self._config, images.copy()
        for axis, probability, drawn in zip(
            (3, 2), (config.horizontal_flip, config.vertical_flip), numbers[:, _FLIPS].T, strict=True
        ):
            flipped = drawn < probability
            out[flipped] = np.flip(out[flipped], axis)
        cropped = numbers[:, _CROP.start] < config.crop.probability
        if isinstance(config.crop, Padded) and cropped.any():
            out[cropped] = _shifted(out[cropped], config.crop, numbers[cropped, _CROP][:, 1:])
        resized = cropped & isinstance(config.crop, Resized)
        rotated = numbers[:, _ROTATION.start] < config.rotation.probability
        coloured = numbers[:, _COLOUR.start] < config.colour.probability
        for some in _parts(np.flatnonzero(resized | rotated | coloured), images[:1].size, _VALUES_IN_CACHE):
            out[some] = self._soft(out[some], numbers[some], resized[some], rotated[some], coloured[some])
        return out

    def _soft(
        self,
        images: Images,
        numbers: Values,
        resized: NDArray[np.bool_],
        rotated: NDArray[np.bool_],
        coloured: NDArray[np.bool_],
    ) -> Images:
        """The changes that no level survives, of pictures each of which undergoes one or more."""
        config = self._config
        soft = images / np.float64(self._top)
        if isinstance(config.crop, Resized):
            for at in np.flatnonzero(resized):
                soft[at] = self._enlarged(soft[at], config.crop, numbers[at, _CROP][1:])
        if rotated.any():
            soft[rotated] = self._turned(soft[rotated], config.rotation, numbers[rotated, _ROTATION][:, 1])
        if coloured.any():
            drawn = numbers[coloured, _COLOUR]
            soft[coloured] = self._tinted(soft[coloured], config.colour, drawn[:, 1:5], drawn[:, 5:])
        return np.clip(np.rint(soft * self._top), 0, self._top).astype(np.uint8)

    def _enlarged(self, image: Values, crop: Resized, numbers: Values) -> Values:
        """A window as wide and high as area and stretch say, no more than the picture is."""
        height, width = image.shape[-2:]
        area = crop.min_area + (1 - crop.min_area) * numbers[2]
        stretch = crop.max_stretch ** (2 * numbers[3] - 1)
        tall = min(height, max(1, round(height * math.sqrt(area / stretch))))
        wide = min(width, max(1, round(width * math.sqrt(area * stretch))))
        top, left = int(numbers[0] * (height - tall + 1)), int(numbers[1] * (width - wide + 1))
        window = self._torch.from_numpy(image[:, top : top + tall, left : left + wide])
        return np.asarray(self._do.resize_image(window, [height, width], antialias=True).numpy())

    def _turned(self, images: Values, rotation: Rotation, numbers: Values) -> Values:
        """Each padded so far that nothing from beyond the padding comes in, turned, and cut to size again."""
        torch, (height, width) = self._torch, images.shape[-2:]
        angles = [rotation.degrees * (2 * number - 1) for number in numbers.tolist()]
        margins = [_margins(height, width, angle) for angle in angles]
        # The middle of a wide padding is a narrow one: one padding serves all.
        most = max(up for up, _ in margins), max(left for _, left in margins)
        padded, turned = torch.from_numpy(_padded(images, *most, rotation.fill)), images.copy()
        for place, (angle, (up, left)) in enumerate(zip(angles, margins, strict=True)):
            if angle != 0:
                tall, wide = height + 2 * up, width + 2 * left
                image = padded[place, :, most[0] - up :, most[1] - left :][None, :, :tall, :wide]
                grid = self._grid(angle, tall, wide)[:, up : up + height, left : left + width]
                turned[place] = torch.nn.functional.grid_sample(image, grid, align_corners=False)[0].numpy()
        return turned

    def _grid(self, degrees: float, height: int, width: int) -> "Tensor":
        """Where each pixel of a picture that was turned about its middle comes from, in [-1, 1]: [1, H, W, 2]."""
        turn, across, down = math.radians(-(degrees % 360)), 0.5 * width, 0.5 * height
        cosine, sine = math.cos(turn), math.sin(turn)
        rows = [[cosine / across, sine / across, 0.0], [-sine / down, cosine / down, 0.0]]
        theta = self._torch.tensor([rows], dtype=self._torch.float64)
        return self._torch.from_numpy(_places(height, width)).bmm(theta.transpose(1, 2)).view(1, height, width, 2)

    def _tinted(self, images: Values, colour: Colour, order: Values, numbers: Values) -> Values:
        """Each change of all the pictures whose turn it is, four times: the order is each picture's own."""
        ways, tinted = 2 * numbers.T - 1, images.copy()
        adjust = (
            (_brightened, colour.brightness, 1 + colour.brightness * ways[0]),
            (self._contrasted, colour.contrast, 1 + colour.contrast * ways[1]),
            (self._saturated, colour.saturation, 1 + colour.saturation * ways[2]),
            (_hued, colour.hue, colour.hue * ways[3]),
        )
        for turn in np.argsort(order, axis=1, kind="stable").T:
            for place, (change, strength, factors) in enumerate(adjust):
                which = np.flatnonzero((turn == place) & (strength > 0))
                for some in _parts(which, images[:1].size, _VALUES_AT_ONCE):
                    tinted[some] = change(tinted[some], factors[some])
        return tinted

    def _contrasted(self, images: Values, factors: Values) -> Values:
        grey = self._do.rgb_to_grayscale_image(self._torch.from_numpy(images))
        return self._blended(images, grey.mean(dim=(1, 2, 3), keepdim=True), factors)

    def _saturated(self, images: Values, factors: Values) -> Values:
        return self._blended(images, self._do.rgb_to_grayscale_image(self._torch.from_numpy(images)), factors)

    def _blended(self, images: Values, others: "Tensor", factors: Values) -> Values:
        """factor x image + (1 - factor) x other, by torch, which rounds product and sum at once."""
        blended = images * _of_each(factors)
        for image, other, factor in zip(self._torch.from_numpy(blended), others, factors.tolist(), strict=True):
            image.add_(other, alpha=1 - factor)
        return np.clip(blended, 0, 1)


def _parts(places: NDArray[np.int64], each: int, most: int) -> Iterator[NDArray[np.int64]]:
    """Places of pictures that have no more than so many values together, or of one picture."""
    size = max(1, most // max(1, each))
    return (places[start : start + size] for start in range(0, len(places), size))


def _of_each(factors: Values) -> Values:
    return factors[:, None, None, None]


def _brightened(images: Values, factors: Values) -> Values:
    return np.clip(images * _of_each(factors), 0, 1)


def _hued(images: Values, factors: Values) -> Values:
    """The hue turned by shares of its circle, in float32 and in the very operations of torchvision."""
    rgb = images.astype(np.float32)
    red, green, _ = rgb.transpose(1, 0, 2, 3)
    value = rgb.max(axis=1)
    chroma = value - rgb.min(axis=1)
    grey = chroma == 0
    saturation = chroma / np.where(grey, np.float32(1), value)
    from_red, from_green, from_blue = (value - rgb.transpose(1, 0, 2, 3)) / np.where(grey, np.float32(1), chroma)
    sixth = np.where(
        value == red,
        from_blue - from_green,
        np.where(value == green, from_red + 2 - from_blue, from_green + 4 - from_red),
    )
    hue = sixth * np.float32(1 / 6) + 1
    hue -= np.floor(hue)
    hue += factors.astype(np.float32)[:, None, None]
    hue = (hue - np.floor(hue)) * 6
    sector = np.floor(hue)
    rising = saturation * (hue - sector)
    # Each lies in [0, 1] by its own arithmetic: products and differences of numbers between 0 and 1.
    low, falling, rising = ((1 - saturation) * value, (1 - rising) * value, (rising + (1 - saturation)) * value)
    at = sector.astype(np.int64) % 6
    made = np.empty_like(images)
    for channel, ways in enumerate(
        (
            (value, falling, low, low, rising, value),
            (rising, value, value, falling, low, low),
            (low, low, rising, value, value, falling),
        )
    ):
        made[:, channel] = np.choose(at, ways, mode="clip")
    return made


@cache
def _places(height: int, width: int) -> Values:
    """x, y and 1 of each pixel, seen from the middle: [1, H W, 3]."""
    places = np.ones((height, width, 3))
    places[..., 0] = np.arange(width) - (width - 1) / 2
    places[..., 1] = (np.arange(height) - (height - 1) / 2)[:, None]
    return places.reshape(1, height * width, 3)


def _padded(images: NDArray[Level], vertical: int, horizontal: int, fill: Fill) -> NDArray[Level]:
    sides = ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal))
    return np.pad(images, sides, mode=_MODES[fill])  # type: ignore[call-overload,no-any-return]


def _shifted(images: Images, crop: Padded, numbers: Values) -> Images:
    """A window of the padded picture, as large as the picture, each at a place of its own."""
    padded = _padded(images, crop.pixels, crop.pixels, crop.fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[-2:], axis=(2, 3))
    top, left = (numbers[:, :2] * (2 * crop.pixels + 1)).astype(np.int64).T
    shifted: Images = windows[np.arange(len(images)), :, top, left]
    return shifted


def _margins(height: int, width: int, degrees: float) -> tuple[int, int]:
    """How far beyond its upper and its left side a picture is looked at when it is turned."""
    sine, cosine = abs(math.sin(math.radians(degrees))), math.cos(math.radians(degrees))
    over = (width * sine - height * (1 - cosine)) / 2, (height * sine - width * (1 - cosine)) / 2
    return max(0, math.ceil(over[0])) + 1, max(0, math.ceil(over[1])) + 1


def _check(config: AugmentConfig, spec: DataSpec) -> None:
    """Refuse what these pictures cannot undergo."""
    channels, height, width = spec.shape
    colour = config.colour
    if colour.probability > 0 and channels not in (1, 3):
        raise ParamsError(
            f"train.augment.colour: must be of pictures with 1 or 3 channels, but these have {channels}; set its "
            "probability to 0"
        )
    if colour.probability > 0 and channels == 1 and (colour.saturation > 0 or colour.hue > 0):
        raise ParamsError(
            "train.augment.colour: saturation and hue must be 0 for grey pictures, which have neither, got "
            f"saturation={colour.saturation}, hue={colour.hue}; brightness and contrast may change"
        )
    needed = {}
    if config.crop.probability > 0 and isinstance(config.crop, Padded) and config.crop.fill == "reflect":
        needed["crop"] = (config.crop.pixels, config.crop.pixels)
    if config.rotation.probability > 0 and config.rotation.fill == "reflect":
        needed["rotation"] = _margins(height, width, config.rotation.degrees)
    for name, (vertical, horizontal) in needed.items():
        if vertical >= height or horizontal >= width:
            raise ParamsError(
                f"train.augment.{name}: fill: reflect must find so many pixels in a picture as come in, but up to "
                f"{vertical} x {horizontal} come into one of {height} x {width}; set its fill to edge, or change less"
            )
