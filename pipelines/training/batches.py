"""Batches for a training from shards: its conditions, a check of the first batch, the endless stream."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.objectives.batch import WHOLE, Batch, Share
from ddpm_core.spec import LABEL, DataSpec
from ddpm_core.training.config import Conditioning, TrainConfig
from pipelines.kinds import kind_of
from pipelines.kinds.kind import Augment
from pipelines.shards.archive import PRESENT, Arrays, ShardIndex, rows_of
from pipelines.shards.stream import held_out, stream


def spec_of_network(conditioning: Conditioning, spec: DataSpec) -> DataSpec:
    """The data with the network's conditions; `auto`: with label and attributes that have two or more classes.

    `labels` takes all, `none` leaves all out. Only classes can be left out; whatever else a datum has is told.
    """
    if conditioning == "labels" and not spec.classes:
        raise ParamsError(
            "train.conditioning: labels needs data with classes, and these have none; set it to auto or none, or give "
            "the data of each class a name (docs/data.md)"
        )
    least = {"labels": 1, "auto": 2}.get(conditioning)
    told = [
        name
        for name, condition in spec.conditions.items()
        if not condition.classes or (least is not None and len(condition.classes) >= least)
    ]
    if LABEL not in told and spec.scaling is not None and spec.scaling.of_class:
        raise ParamsError(
            "train.conditioning: must be auto or labels, for each class of these data has a scaling of its own, got "
            f"{conditioning}"
        )
    return spec.told(told)


def check_data(index: ShardIndex, folder: Path, config: TrainConfig[Any]) -> None:
    """Check the first batch before any step: is there anything to learn from, and are all values in range?"""
    batch = next(stream(folder, "train", config.batch_size, seed=config.seed, hold_out=config.hold_out))
    kind_of(index.spec.kind).check_batch(batch, index.spec, folder)
    for name, condition in index.spec.conditions.items():
        values, most = batch[name], len(condition.classes)
        if most and not 0 <= values.min() <= values.max() <= most:
            raise DataError(
                f"{folder}: {name} must be from 0 to {most} ({most}: not told), got {values.min()} to {values.max()}; "
                "run `ddpm shard` again"
            )


def batch_source(
    config: TrainConfig[Any], folder: Path, spec: DataSpec, workers: int, share: Share = WHOLE
) -> Callable[[int], Iterator[Batch]]:
    """`batches(k)`: the endless stream from batch k on, a function of (seed, k); of each batch the rows of a share."""
    augment = kind_of(spec.kind).augmenter(config.augment, config.seed, spec)
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
        return encoded(source, start, augment, own, spec)

    return batches


def encoded(source: Iterator[Arrays], start: int, augment: Augment, own: slice, spec: DataSpec) -> Iterator[Batch]:
    """The rows `own` of whole batches from number `start` on: augmented, encoded, with their conditions.

    Runs in the reading thread alone: augmentation is many short calls that hold Python's lock, so two threads are
    slower.
    """
    for step, arrays in enumerate(source, start):
        yield _batch(augment(arrays, step, own), spec)


def held_out_batches(config: TrainConfig[Any], folder: Path, spec: DataSpec) -> list[Batch]:
    """The held-out examples, without augmentation, in batches of at most the training's size."""
    kept, size = held_out(folder, "train", config.hold_out), config.batch_size
    kept = kind_of(spec.kind).unaugmented(kept, config.augment, config.seed, spec)
    return [_batch(rows_of(kept, slice(at, at + size)), spec) for at in range(0, len(kept["x"]), size)]


def _batch(arrays: Arrays, spec: DataSpec) -> Batch:
    cond = {name: torch.from_numpy(arrays[name]) for name in spec.conditions}
    mask = torch.from_numpy(arrays[PRESENT].astype("float32")) if spec.masked else None
    return Batch(torch.from_numpy(spec.encode(arrays["x"], arrays.get(LABEL))), cond, mask)
