"""Changes of a picture that leave its meaning: the only importer of torchvision.transforms.

What happens to a picture is a function of (seed, step, its place in the batch), drawn by our own generator and not by
torch's global one, which the reading thread must not touch: a resumed training sees the very same pictures. Every
number is drawn whether it is needed or not, so that one change asked for more moves no other. Flips and shifts move
levels; all else is computed in float64 between 0 and 1 and rounded once, at the end.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.errors import ParamsError
from ddpm_core.spec import DataSpec
from ddpm_core.training.augmentation import AugmentConfig, Colour, Fill, Padded, Resized, Rotation

if TYPE_CHECKING:
    from torch import Tensor

Images = NDArray[np.uint8]
Uniforms = NDArray[np.float64]

_MODES = {"reflect": "reflect", "edge": "edge", "black": "constant"}
# Where a picture's uniform numbers stand: two flips; a crop (whether, and four more); a rotation (whether, and one
# more); colours (whether, four for their order, four for how much).
_FLIPS, _CROP, _ROTATION, _COLOUR = slice(0, 2), slice(2, 7), slice(7, 9), slice(9, 18)
_NUMBERS = 18


def augmenter(config: AugmentConfig, seed: int, spec: DataSpec) -> Callable[[Images, int], Images]:
    """`augment(images [B, C, H, W], step)`; where no change is asked for, it hands the pictures through."""
    if config.changes_nothing:
        return lambda images, _step: images
    _check(config, spec)
    changes = _Changes(config, spec)

    def augment(images: Images, step: int) -> Images:
        rng = generator(seed, Purpose.AUGMENT, step)
        numbers = rng.random((len(images), _NUMBERS))
        return np.stack([changes.of(image, row) for image, row in zip(images, numbers, strict=True)])

    return augment


class _Changes:
    """The changes of one picture, by its row of uniform numbers."""

    def __init__(self, config: AugmentConfig, spec: DataSpec) -> None:
        import torch
        from torchvision.transforms.v2 import InterpolationMode, functional

        self._torch, self._do, self._smooth = torch, functional, InterpolationMode.BILINEAR
        self._config, self._top = config, (spec.levels or 256) - 1

    def of(self, image: Images, numbers: Uniforms) -> Images:
        config, exact = self._config, self._torch.from_numpy(image)
        flips, crop, rotation, colour = (numbers[at] for at in (_FLIPS, _CROP, _ROTATION, _COLOUR))
        if flips[0] < config.horizontal_flip:
            exact = self._do.horizontal_flip(exact)
        if flips[1] < config.vertical_flip:
            exact = self._do.vertical_flip(exact)
        cropped = crop[0] < config.crop.probability
        if cropped and isinstance(config.crop, Padded):
            exact = self._shifted(exact, config.crop, crop[1:])
        resized = cropped and isinstance(config.crop, Resized)
        rotated, coloured = rotation[0] < config.rotation.probability, colour[0] < config.colour.probability
        if not (resized or rotated or coloured):
            return np.asarray(exact.numpy(), dtype=np.uint8)
        soft = exact.to(self._torch.float64) / self._top
        if resized and isinstance(config.crop, Resized):
            soft = self._enlarged(soft, config.crop, crop[1:])
        if rotated:
            soft = self._turned(soft, config.rotation, rotation[1])
        if coloured:
            soft = self._tinted(soft, config.colour, colour[1:5], colour[5:])
        levels = (soft * self._top).round().clamp(0, self._top)
        return np.asarray(levels.to(self._torch.uint8).numpy())

    def _padded(self, image: "Tensor", vertical: int, horizontal: int, fill: Fill) -> "Tensor":
        sides = [horizontal, vertical, horizontal, vertical]
        padded: Tensor = self._do.pad(image, sides, padding_mode=_MODES[fill])
        return padded

    def _shifted(self, image: "Tensor", crop: Padded, numbers: Uniforms) -> "Tensor":
        height, width = image.shape[-2:]
        top, left = (int(u * (2 * crop.pixels + 1)) for u in numbers[:2])
        shifted: Tensor = self._do.crop(
            self._padded(image, crop.pixels, crop.pixels, crop.fill), top, left, height, width
        )
        return shifted

    def _enlarged(self, image: "Tensor", crop: Resized, numbers: Uniforms) -> "Tensor":
        """A window as wide and high as area and stretch say, no more than the picture is."""
        height, width = image.shape[-2:]
        area = crop.min_area + (1 - crop.min_area) * numbers[2]
        stretch = crop.max_stretch ** (2 * numbers[3] - 1)
        tall = min(height, max(1, round(height * math.sqrt(area / stretch))))
        wide = min(width, max(1, round(width * math.sqrt(area * stretch))))
        top, left = int(numbers[0] * (height - tall + 1)), int(numbers[1] * (width - wide + 1))
        enlarged: Tensor = self._do.resized_crop(image, top, left, tall, wide, [height, width], antialias=True)
        return enlarged

    def _turned(self, image: "Tensor", rotation: Rotation, number: float) -> "Tensor":
        """Padded so far that nothing from beyond the padding comes in, turned, and cut to size again."""
        height, width = image.shape[-2:]
        angle = rotation.degrees * (2 * number - 1)
        padded = self._padded(image, *_margins(height, width, angle), rotation.fill)
        turned = self._do.rotate(padded, angle, self._smooth)
        cut: Tensor = self._do.center_crop(turned, [height, width])
        return cut

    def _tinted(self, image: "Tensor", colour: Colour, order: Uniforms, numbers: Uniforms) -> "Tensor":
        ways = 2 * numbers - 1
        adjust = (
            (self._do.adjust_brightness, colour.brightness, 1 + colour.brightness * ways[0]),
            (self._do.adjust_contrast, colour.contrast, 1 + colour.contrast * ways[1]),
            (self._do.adjust_saturation, colour.saturation, 1 + colour.saturation * ways[2]),
            (self._do.adjust_hue, colour.hue, colour.hue * ways[3]),
        )
        for place in np.argsort(order, kind="stable"):
            change, strength, factor = adjust[place]
            if strength > 0:
                image = change(image, float(factor))
        return image


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
