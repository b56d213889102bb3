"""The order of a shuffled stream: a function of (seed, epoch) and of the index, of nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.shards.index import ShardIndex


@dataclass(frozen=True)
class Window:
    """Consecutive shards of an epoch that are held and shuffled together."""

    shards: tuple[int, ...]  # their numbers in the index, in the epoch's order
    count: int
    skip: int  # examples of its order that were taken before
    last: bool  # the epoch ends with it
    key: tuple[int, ...] | None  # of its shuffle, None for no shuffle

    def order(self) -> NDArray[np.int64]:
        if self.key is None:
            return np.arange(self.count)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.key))).permutation(self.count)


def windows(index: ShardIndex, split: str, seed: int, epoch: int, skip: int, shuffle: bool) -> Iterator[Window]:
    """The windows from a position on, without end; those before it are left out, not read."""
    shards = index.shards(split)
    while True:
        groups = _grouped(index, split, seed, epoch, shuffle)
        for number, group in enumerate(groups):
            count = sum(shards[shard].count for shard in group)
            last = number == len(groups) - 1
            if skip < count or last:
                key = (seed, epoch, 1 + number) if shuffle else None
                yield Window(tuple(group), count, min(skip, count), last, key)
            skip = max(0, skip - count)
        epoch, skip = epoch + 1, 0


def _grouped(index: ShardIndex, split: str, seed: int, epoch: int, shuffle: bool) -> list[list[int]]:
    """The shards of an epoch in its order, cut into groups of at most `shuffle_examples` examples."""
    shards = index.shards(split)
    numbers = list(range(len(shards)))
    if shuffle and index.count(split) > index.shuffle_examples:
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, 0))))
        numbers = [int(number) for number in rng.permutation(len(shards))]
    groups: list[list[int]] = []
    held = 0
    for number in numbers:
        if not groups or held + shards[number].count > index.shuffle_examples:
            groups.append([])
            held = 0
        groups[-1].append(number)
        held += shards[number].count
    return groups
