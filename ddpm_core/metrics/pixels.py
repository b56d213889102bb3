"""Faults that the pixels alone show: images of one colour, the same image again, values stuck at the ends."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def constant_share(images: NDArray[np.uint8]) -> float:
    """The share of images whose every channel is one single value."""
    flat = images.reshape(len(images), images.shape[1], -1)
    return float((flat.max(axis=2) == flat.min(axis=2)).all(axis=1).mean())


def duplicate_share(images: NDArray[np.uint8]) -> float:
    """The share of images that an earlier one equals to the bit."""
    digests = {hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images}
    return 1.0 - len(digests) / len(images)


def saturated_share(images: NDArray[np.uint8], top: int) -> float:
    """The share of values at either end of the range; compare it with that of real images."""
    return float(((images == 0) | (images == top)).mean())


def level_shares(images: NDArray[np.uint8], top: int) -> NDArray[np.float64]:
    """Of each level 0..top the share of all values that have it, [top + 1]."""
    return np.bincount(images.reshape(-1), minlength=top + 1) / images.size
