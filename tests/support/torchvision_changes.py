"""The changes of pictures by torchvision's own functions, one picture and one change after the other."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import InterpolationMode, functional

from ddpm_core.diffusion.noise import Purpose, generator
from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Padded, Resized, Rotation


def by_torchvision(
    config: AugmentConfig, images: NDArray[np.uint8], seed: int, step: int, levels: int = 256
) -> NDArray[np.uint8]:
    """What `augmenter` must give for the rows of a whole batch."""
    numbers = generator(seed, Purpose.AUGMENT, step).random((len(images), 18))
    return np.stack([_one(config, image, row, levels - 1) for image, row in zip(images, numbers, strict=True)])


def _one(config: AugmentConfig, image: NDArray[np.uint8], numbers: NDArray[np.float64], top: int) -> NDArray[np.uint8]:
    exact, crop, (height, width) = torch.from_numpy(image), config.crop, image.shape[-2:]
    if numbers[0] < config.horizontal_flip:
        exact = functional.horizontal_flip(exact)
    if numbers[1] < config.vertical_flip:
        exact = functional.vertical_flip(exact)
    cropped = numbers[2] < crop.probability
    if cropped and isinstance(crop, Padded):
        padded = functional.pad(exact, [crop.pixels] * 4, padding_mode=_mode(crop.fill))
        at = [int(number * (2 * crop.pixels + 1)) for number in numbers[3:5]]
        exact = functional.crop(padded, *at, height, width)
    rotated, coloured = numbers[7] < config.rotation.probability, numbers[9] < config.colour.probability
    resized = cropped and isinstance(crop, Resized)
    if not (resized or rotated or coloured):
        return np.asarray(exact.numpy())
    soft = exact.to(torch.float64) / top
    if resized and isinstance(crop, Resized):
        area = crop.min_area + (1 - crop.min_area) * numbers[5]
        stretch = crop.max_stretch ** (2 * numbers[6] - 1)
        tall = min(height, max(1, round(height * math.sqrt(area / stretch))))
        wide = min(width, max(1, round(width * math.sqrt(area * stretch))))
        place = int(numbers[3] * (height - tall + 1)), int(numbers[4] * (width - wide + 1))
        soft = functional.resized_crop(soft, *place, tall, wide, [height, width], antialias=True)
    if rotated:
        soft = _turned(soft, config.rotation, config.rotation.degrees * (2 * numbers[8] - 1))
    if coloured:
        soft = _tinted(soft, config.colour, numbers[10:14], 2 * numbers[14:18] - 1)
    return np.asarray((soft * top).round().clamp(0, top).to(torch.uint8).numpy())


def _turned(soft: torch.Tensor, rotation: Rotation, angle: float) -> torch.Tensor:
    """Padded by what a turn brings in from beyond each side, and a pixel more."""
    height, width = soft.shape[-2:]
    sine, cosine = abs(math.sin(math.radians(angle))), math.cos(math.radians(angle))
    up = max(0, math.ceil((width * sine - height * (1 - cosine)) / 2)) + 1
    left = max(0, math.ceil((height * sine - width * (1 - cosine)) / 2)) + 1
    padded = functional.pad(soft, [left, up, left, up], padding_mode=_mode(rotation.fill))
    return functional.center_crop(functional.rotate(padded, angle, InterpolationMode.BILINEAR), [height, width])


def _tinted(soft: torch.Tensor, colour: Colour, order: NDArray[np.float64], ways: NDArray[np.float64]) -> torch.Tensor:
    changes = (
        (functional.adjust_brightness, colour.brightness, 1 + colour.brightness * ways[0]),
        (functional.adjust_contrast, colour.contrast, 1 + colour.contrast * ways[1]),
        (functional.adjust_saturation, colour.saturation, 1 + colour.saturation * ways[2]),
        (functional.adjust_hue, colour.hue, colour.hue * ways[3]),
    )
    for place in np.argsort(order, kind="stable"):
        change, strength, factor = changes[place]
        if strength > 0:
            soft = change(soft, float(factor))
    return soft


def _mode(fill: str) -> str:
    return "constant" if fill == "black" else fill
