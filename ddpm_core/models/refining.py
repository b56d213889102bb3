"""Whether a network should refine its answer pixel by pixel, judged by the training pictures; numpy alone.

Where pixels are seen in patches the answers of a patch's places differ a little, which shows as a mesh on textures and
on coloured areas. A branch at full resolution takes it away, and costs about a tenth of the speed. On a plain ground
without colour, as of digits and letters, no mesh is seen and none is needed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ddpm_core.models.config import UNetConfig

CHANNELS = 16
"""Of the branch, where `auto` takes one."""
MOST_PLAIN = 0.5
"""Share of equal neighbours from which on grey pictures count as drawn on a plain ground."""


def plain_share(images: NDArray[np.uint8]) -> float:
    """The share of neighbouring pixels, along either axis, that are equal in every channel; [N, C, H, W]."""
    equal = [(np.diff(images, axis=axis) == 0).all(axis=1) for axis in (2, 3)]
    count = sum(part.size for part in equal)
    return sum(int(part.sum()) for part in equal) / count if count else 1.0


def resolved(
    config: UNetConfig, channels: int, pictures: Callable[[], NDArray[np.uint8]]
) -> tuple[UNetConfig, str | None]:
    """The configuration with a number for `refine`, and why that one; `pictures` of training are looked at if need be.

    None where the number was given.
    """
    if config.refine != "auto":
        return config, None
    if config.patch == 1:
        return replace(config, refine=0), "pixels are seen one by one"
    if channels >= 3:
        return replace(config, refine=CHANNELS), "the pictures are in colour"
    plain = plain_share(pictures())
    if plain < MOST_PLAIN:
        return replace(config, refine=CHANNELS), f"{plain:.0%} of neighbouring pixels are equal: textured pictures"
    return replace(config, refine=0), f"{plain:.0%} of neighbouring pixels are equal: grey pictures on a plain ground"
