"""Whether a network should refine its output pixel by pixel, decided by the training pictures; numpy alone.

On patches, the outputs for the pixels of a patch differ slightly, which shows as a mesh on textures and coloured areas.
A branch at full resolution removes it, and costs about a tenth of the speed. Grey pictures on a plain ground, such as
digits, show no mesh and need no branch.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CHANNELS = 16
"""Channels of the branch, if `auto` chooses one."""
MOST_PLAIN = 0.5
"""Grey pictures with at least this fraction of equal neighbours count as pictures on a plain ground."""


def plain_share(images: NDArray[np.uint8]) -> float:
    """The fraction of neighbouring pixels, along both axes, that are equal in every channel; [N, C, H, W]."""
    equal = [(np.diff(images, axis=axis) == 0).all(axis=1) for axis in (2, 3)]
    count = sum(part.size for part in equal)
    return sum(int(part.sum()) for part in equal) / count if count else 1.0


def refined_channels(patch: int, channels: int, pictures: Callable[[], NDArray[np.uint8]]) -> tuple[int, str]:
    """The value for `refine: auto`, and the reason; `pictures` gives training pictures if needed."""
    if patch == 1:
        return 0, "the network has no patches"
    if channels >= 3:
        return CHANNELS, "the pictures are in colour"
    plain = plain_share(pictures())
    if plain < MOST_PLAIN:
        return CHANNELS, f"{plain:.0%} of neighbouring pixels are equal: textured pictures"
    return 0, f"{plain:.0%} of neighbouring pixels are equal: grey pictures on a plain ground"
