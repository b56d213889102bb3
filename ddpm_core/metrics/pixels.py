"""Faults that the pixels alone show: images of one colour, the same image again, values stuck at the ends."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.data import EvalData
from ddpm_core.metrics.metric import Metric, Rule


def broken_metric(kind: str, meaning: str, contrast: str) -> Metric:
    """A share of broken images, held against that of unseen images."""
    words = "{value:.2%} of the samples, {floor:.2%} of unseen real images"
    return Metric(
        f"{kind}_share", meaning, "lower", floor=f"{kind}_share_heldout",
        rule=Rule("excess", "max_broken_excess", f"{kind} images", words, controls=True), contrast=(contrast, ""),
        share=True,
    )  # fmt: skip


CONSTANT = broken_metric("constant", "samples of one single colour", "images of one colour")
DUPLICATE = broken_metric("duplicate", "samples equal to an earlier one", "repeated images")


def pixel_faults(data: EvalData) -> Iterator[Metric]:
    """Shares of constant, repeated and saturated values among samples and unseen images."""
    yield CONSTANT.measured(constant_share(data.images))
    yield Metric(CONSTANT.floor, "the same of unseen images", value=constant_share(data.unseen))
    yield DUPLICATE.measured(duplicate_share(data.images))
    yield Metric(DUPLICATE.floor, "the same of unseen images", value=duplicate_share(data.unseen))
    saturated = Metric("saturated_share", "values at an end of the range, in samples", floor="saturated_share_heldout")
    yield saturated.measured(saturated_share(data.images, data.top))
    yield Metric(saturated.floor, "the same in unseen images", value=saturated_share(data.unseen, data.top))


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
