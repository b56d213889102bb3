"""Random changes of training pictures; without torch, like all configuration."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, at_least_1, fraction

Fill = Literal["reflect", "edge", "black"]
"""What fills pixels from outside the picture: its mirror image, its edge pixels, or the lowest level."""


@dataclass(frozen=True)
class Padded(Config):
    """Shift by up to `pixels` along each axis."""

    kind: Literal["padded"]
    probability: float
    pixels: int
    fill: Fill
    __checks__: ClassVar[Checks] = {"probability": fraction, "pixels": at_least_1}


@dataclass(frozen=True)
class Resized(Config):
    """Enlarge a window of at least the fraction `min_area` of the picture to its size."""

    kind: Literal["resized"]
    probability: float
    min_area: float
    max_stretch: float
    __checks__: ClassVar[Checks] = {
        "probability": fraction,
        "min_area": (lambda v: 0 < v <= 1, "above 0, at most 1"),
        "max_stretch": at_least_1,
    }


CropConfig = Padded | Resized


@dataclass(frozen=True)
class Rotation(Config):
    """Rotate by up to `degrees` in either direction."""

    probability: float
    degrees: float
    fill: Fill
    __checks__: ClassVar[Checks] = {
        "probability": fraction,
        "degrees": (lambda v: 0 <= v <= 45, "between 0 and 45"),
    }


@dataclass(frozen=True)
class Colour(Config):
    """Brightness, contrast, saturation and hue, in a random order."""

    probability: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    __checks__: ClassVar[Checks] = {
        **dict.fromkeys(("probability", "brightness", "contrast", "saturation"), fraction),
        "hue": (lambda v: 0 <= v <= 0.5, "between 0 and 0.5"),
    }


@dataclass(frozen=True)
class AugmentConfig(Config):
    """Random changes of a training picture, each with its probability, drawn for every picture."""

    horizontal_flip: float
    vertical_flip: float
    crop: CropConfig
    rotation: Rotation
    colour: Colour
    __checks__: ClassVar[Checks] = {"horizontal_flip": fraction, "vertical_flip": fraction}

    @property
    def changes_nothing(self) -> bool:
        """Whether every probability is 0."""
        parts = (self.crop.probability, self.rotation.probability, self.colour.probability)
        return not any((self.horizontal_flip, self.vertical_flip, *parts))
