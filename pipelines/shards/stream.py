"""Batches of a split without end: their order is a function of (seed, epoch), however much is held or read ahead."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError
from pipelines.shards.archive import Arrays, ShardIndex, Split, filled, joined, read_index, read_shard, rows_of
from pipelines.shards.order import Window, windows


def stream(
    folder: Path,
    split: str,
    batch_size: int,
    *,
    seed: int,
    start_batch: int = 0,
    drop_last: bool = True,
    shuffle: bool = True,
    workers: int = 0,
    hold_out: int = 0,
) -> Iterator[Arrays]:
    """Batches of named arrays [B, ...] without end, epoch after epoch.

    The order is a function of (seed, epoch) and nothing else: the shards of an epoch are put in a random order and cut
    into windows of at most `shuffle_examples` examples (one shard where a shard is larger), and a window is shuffled
    as a whole. A split that fits in one window is thus shuffled perfectly and is read from disk once. `start_batch`
    begins at that batch as if those before had been taken, without reading the windows they came from. The last
    `hold_out` examples of the split are never shown: `held_out` gives them.
    """
    index = read_index(folder)
    if batch_size < 1 or start_batch < 0:
        raise ParamsError(
            f"a stream needs batch_size of at least 1 and start_batch of 0 or more, got {batch_size} and {start_batch}"
        )
    shown = index.without_last(split, hold_out)
    count = shown.count(split)
    per_epoch = count // batch_size if drop_last else -(-count // batch_size)
    if per_epoch == 0:
        beside = f" beside the {hold_out} that are held out" if hold_out else ""
        raise DataError(
            f"{folder}: split {split} has {count} examples{beside}, fewer than one batch of {batch_size}; lower the "
            "batch size or give more data"
        )
    return _stream(index, shown, split, batch_size, seed, start_batch, drop_last, shuffle, workers, per_epoch)


def held_out(folder: Path, split: str, number: int) -> Arrays:
    """The last so many examples of a split, in the order of the shards."""
    index = read_index(folder)
    parts: list[Arrays] = []
    for shard in reversed(index.shards(split)):
        missing = number - sum(len(part["x"]) for part in parts)
        if missing <= 0:
            break
        parts.insert(0, rows_of(read_shard(index, shard).arrays, slice(-missing, None)))
    return joined(parts, index.spec)


def _stream(
    index: ShardIndex,
    shown: ShardIndex,
    split: str,
    batch_size: int,
    seed: int,
    start_batch: int,
    drop_last: bool,
    shuffle: bool,
    workers: int,
    per_epoch: int,
) -> Iterator[Arrays]:
    epoch, batch = divmod(start_batch, per_epoch)
    skip = batch * batch_size
    shards = index.shards(split)
    fetched = _read_ahead(
        lambda number: read_shard(index, shards[number]),
        (number for window in windows(shown, split, seed, epoch, skip, shuffle) for number in window.shards),
        workers,
    )
    whole: Split | None = None
    nothing = carry = joined([], index.spec)
    for window in windows(shown, split, seed, epoch, skip, shuffle):
        held = whole or _gather(fetched, window, shown, split)
        if len(window.shards) == len(shown.shards(split)):
            whole = held
        order = window.order()[window.skip :]
        while len(carry["x"]) + len(order) >= batch_size:
            take = order[: batch_size - len(carry["x"])]
            order = order[len(take) :]
            yield _joined(carry, held, take)
            carry = nothing
        carry = _joined(carry, held, order)
        if window.last:
            if len(carry["x"]) and not drop_last:
                yield carry
            carry = nothing


def _gather(fetched: Iterator[Split], window: Window, shown: ShardIndex, split: str) -> Split:
    """The examples of a window that are shown, in one array a name; beside it no more than one shard is held."""
    counts = [shown.shards(split)[number].count for number in window.shards]
    parts = (rows_of(next(fetched).arrays, slice(count)) for count in counts)
    return Split(filled(window.count, parts, shown.spec), [])


def _joined(carry: Arrays, held: Split, take: NDArray[np.int64]) -> Arrays:
    taken = rows_of(held.arrays, take)
    if not len(carry["x"]):
        return taken
    return {name: np.concatenate([carry[name], array]) for name, array in taken.items()}


def _read_ahead(read: Callable[[int], Split], numbers: Iterator[int], workers: int) -> Iterator[Split]:
    """Shards in the order asked for; with workers, so many threads each hold one that is not yet wanted."""
    if workers == 0:
        yield from map(read, numbers)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="shards") as pool:
        waiting = deque(pool.submit(read, number) for number in islice(numbers, workers))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(pool.submit(read, number) for number in islice(numbers, 1))
            yield ready
