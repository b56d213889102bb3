"""Changes of a picture that leave its meaning: the only importer of torchvision.transforms.

What happens to a picture is a function of (seed, step), drawn by our own generator and not by torch's global one, which
the reading thread must not touch: a resumed training sees the very same pictures.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.training.config import AugmentConfig

Images = NDArray[np.uint8]


def augmenter(config: AugmentConfig, seed: int) -> Callable[[Images, int], Images]:
    """`augment(images [B, C, H, W], step)`; where no change is asked for, it hands the pictures through."""
    if config.horizontal_flip == 0 and config.vertical_flip == 0:
        return lambda images, _step: images
    import torch
    from torchvision.transforms.v2 import functional as transforms

    def augment(images: Images, step: int) -> Images:
        rng = generator(seed, Purpose.AUGMENT, step)
        flips = ((transforms.horizontal_flip, config.horizontal_flip), (transforms.vertical_flip, config.vertical_flip))
        changed = torch.from_numpy(images.copy())
        for change, probability in flips:
            chosen = torch.from_numpy(rng.random(len(images)) < probability)
            changed[chosen] = change(changed[chosen])
        return changed.numpy()

    return augment
