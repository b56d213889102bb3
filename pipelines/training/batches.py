"""Batches for a training from shards: whether it is told labels, a look at the first, the endless stream."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.objectives.batch import WHOLE, Batch, Share
from ddpm_core.spec import DataSpec, conditions_of
from ddpm_core.training.config import Conditioning, TrainConfig
from pipelines.kinds.pictures.augment import Augment, augmenter
from pipelines.shards.archive import Images, Labels, ShardIndex
from pipelines.shards.stream import held_out, stream


def spec_of_network(conditioning: Conditioning, spec: DataSpec) -> DataSpec:
    """The data as the network sees them: told labels or not; `auto`: where there are two or more classes."""
    if conditioning == "labels" and not spec.classes:
        raise ParamsError(
            "train.conditioning: labels needs data with classes, and these have none; set it to auto or none, or put "
            "the pictures of each class into a folder of its own"
        )
    labels = conditioning == "labels" or (conditioning == "auto" and len(spec.classes) >= 2)
    return spec if labels else spec.told(())


def check_data(index: ShardIndex, folder: Path, config: TrainConfig) -> None:
    """Look at the first batch before any step: are there values to learn from, and are all of them in range?"""
    images, labels = next(stream(folder, "train", config.batch_size, seed=config.seed, hold_out=config.hold_out))
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
    config: TrainConfig, folder: Path, spec: DataSpec, workers: int, share: Share = WHOLE
) -> Callable[[int], Iterator[Batch]]:
    """`batches(k)`: the endless stream from batch k on, a function of (seed, k); of each batch the rows of a share."""
    augment = augmenter(config.augment, config.seed, spec)
    own = share.rows(config.batch_size)

    def batches(start: int) -> Iterator[Batch]:
        source = stream(
            folder,
            "train",
            config.batch_size,
            seed=config.seed,
            start_batch=start,
            workers=workers,
            hold_out=config.hold_out,
        )
        return made_ready(source, start, augment, own, spec)

    return batches


def made_ready(
    source: Iterator[tuple[Images, Labels]],
    start: int,
    augment: Augment,
    own: slice,
    spec: DataSpec,
) -> Iterator[Batch]:
    """Of whole batches, the first of which is number `start`, the rows `own`: changed, encoded, with their labels.

    In the reading thread alone: the changes are many short calls that hold Python's lock, and two threads at them are
    slower than one.
    """
    for step, (images, labels) in enumerate(source, start):
        yield _batch(augment(images, step, own), labels[own], spec)


def held_out_batches(config: TrainConfig, folder: Path, spec: DataSpec) -> list[Batch]:
    """The pictures that the stream never shows, as they are, in batches of at most the training's size."""
    images, labels = held_out(folder, "train", config.hold_out)
    cuts = range(0, len(images), config.batch_size)
    parts = ((images[start : start + config.batch_size], labels[start : start + config.batch_size]) for start in cuts)
    return [_batch(*part, spec) for part in parts]


def _batch(images: Images, labels: Labels, spec: DataSpec) -> Batch:
    cond = {name: torch.from_numpy(value) for name, value in conditions_of(spec, labels).items()}
    return Batch(torch.from_numpy(spec.encode(images)), cond)
