"""Augmentations as params.yaml has them, none of which happens, and some that do."""

from dataclasses import replace
from typing import Any

from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Padded, Resized, Rotation

NOTHING = AugmentConfig(
    horizontal_flip=0.0,
    vertical_flip=0.0,
    crop=Padded("padded", 0.0, 2, "reflect"),
    rotation=Rotation(0.0, 5.0, "reflect"),
    colour=Colour(0.0, 0.1, 0.1, 0.0, 0.0),
)
EVERYTHING = AugmentConfig(
    horizontal_flip=0.5,
    vertical_flip=0.5,
    crop=Resized("resized", 0.7, 0.3, 1.3),
    rotation=Rotation(0.7, 20.0, "edge"),
    colour=Colour(0.7, 0.5, 0.5, 0.0, 0.0),
)


def augmenting(**changes: Any) -> AugmentConfig:
    """`NOTHING`, but for what is named."""
    return replace(NOTHING, **changes)
