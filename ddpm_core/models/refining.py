"""Whether a network should refine its answer pixel by pixel, judged by the training pictures; numpy alone.

Where pixels are seen in patches the answers of a patch's places differ a little, which shows as a mesh on textures and
on coloured areas. A branch at full resolution takes it away, and costs about a tenth of the speed. On a plain ground
without colour, as of digits and letters, no mesh is seen and none is needed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CHANNELS = 16
"""Of the branch, where `auto` takes one."""
MOST_PLAIN = 0.5
"""Share of equal neighbours from which on grey pictures count as drawn on a plain ground."""


def plain_share(images: NDArray[np.uint8]) -> float:
    """The share of neighbouring pixels, along either axis, that are equal in every channel; [N, C, H, W]."""
    equal = [(np.diff(images, axis=axis) == 0).all(axis=1) for axis in (2, 3)]
    count = sum(part.size for part in equal)
    return sum(int(part.sum()) for part in equal) / count if count else 1.0


def refined_channels(patch: int, channels: int, pictures: Callable[[], NDArray[np.uint8]]) -> tuple[int, str]:
    """What `refine: auto` is, and why; `pictures` of training are looked at if need be."""
    if patch == 1:
        return 0, "pixels are seen one by one"
    if channels >= 3:
        return CHANNELS, "the pictures are in colour"
    plain = plain_share(pictures())
    if plain < MOST_PLAIN:
        return CHANNELS, f"{plain:.0%} of neighbouring pixels are equal: textured pictures"
    return 0, f"{plain:.0%} of neighbouring pixels are equal: grey pictures on a plain ground"
