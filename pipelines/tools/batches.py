"""Batches for a training from shards: whether it is told labels, a look at the first, the endless stream."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.objective import WHOLE, Batch, Share
from ddpm_core.spec import DataSpec
from ddpm_core.training.config import Conditioning, TrainConfig
from pipelines.tools.augment import augmenter
from pipelines.tools.shard_stream import stream
from pipelines.tools.shards import ShardIndex


def is_conditional(conditioning: Conditioning, spec: DataSpec) -> bool:
    """Whether the network is told labels; `auto`: where there are two or more classes to tell apart."""
    if conditioning == "labels" and not spec.classes:
        raise ParamsError(
            "train.conditioning: labels needs data with classes, and these have none; set it to auto or none, or put "
            "the pictures of each class into a folder of its own"
        )
    return conditioning == "labels" or (conditioning == "auto" and len(spec.classes) >= 2)


def check_data(index: ShardIndex, folder: Path, config: TrainConfig) -> None:
    """Look at the first batch before any step: are there values to learn from, and are all of them in range?"""
    images, labels = next(stream(folder, "train", config.batch_size, seed=config.seed))
    low, high = int(images.min()), int(images.max())
    top, classes = (index.spec.levels or 1) - 1, len(index.spec.classes)
    if high > top:
        raise DataError(f"{folder}: a pixel must be from 0 to {top}, got {high}; run `ddpm prepare` again")
    if low == high:
        raise DataError(
            f"{folder}: the pictures must differ, but every pixel of the first {len(images)} is {low}; look at the "
            "pictures in data/images"
        )
    if classes and not (labels.min() >= -1 and labels.max() < classes):
        raise DataError(
            f"{folder}: a label must be from -1 to {classes - 1}, got {labels.min()} to {labels.max()}; "
            "run `ddpm shard` again"
        )


def batch_source(
    config: TrainConfig, index: ShardIndex, folder: Path, conditional: bool, workers: int, share: Share = WHOLE
) -> Callable[[int], Iterator[Batch]]:
    """`batches(k)`: the endless stream from batch k on, a function of (seed, k); of each batch the rows of a share."""
    augment = augmenter(config.augment, config.seed, index.spec)
    null, own = len(index.spec.classes), share.rows(config.batch_size)

    def batches(start: int) -> Iterator[Batch]:
        source = stream(folder, "train", config.batch_size, seed=config.seed, start_batch=start, workers=workers)
        for step, (images, labels) in enumerate(source, start):
            x0 = torch.from_numpy(index.spec.encode(augment(images, step)[own]))
            label = torch.from_numpy(np.where(labels < 0, null, labels)[own])
            yield Batch(x0, {"label": label} if conditional else {})

    return batches
