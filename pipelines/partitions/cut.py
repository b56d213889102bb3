"""Where a list of names is cut into partitions, so that new names change few of them."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def cuts(names: Sequence[str], mean: int) -> list[slice]:
    """The names, in their order, cut into partitions of `mean` names on the average, none of less than half of that but
    the first and the last.

    A name begins a partition where its hash is the least among the `mean // 2` names on either side. So a cut depends
    on its neighbours alone: names that are added or removed move only the cuts around them, and a run of new names,
    wherever it lies, changes the partition it falls into and no other.
    """
    hashes = np.array([_hash(name) for name in names], dtype=np.uint64)
    starts = sorted({0, *np.flatnonzero(_least_within(hashes, min(mean // 2, len(names)))).tolist()})
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(names)], strict=True) if end > start]


def partition_ids(names: Sequence[str], parts: Sequence[slice]) -> list[str]:
    """A name for each partition, from its first datum's name: it stays while others come and go."""
    given: dict[str, int] = {}
    ids = []
    for part in parts:
        name = f"{_hash(names[part.start]):016x}"
        again = given.get(name, 0)
        given[name] = again + 1
        ids.append(f"{name}-{again}" if again else name)
    return ids


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def _least_within(values: NDArray[np.uint64], reach: int) -> NDArray[np.bool_]:
    """Where a value is the least of those at most `reach` places away; beyond either end lies nothing less."""
    if not len(values):
        return np.zeros(0, dtype=np.bool_)
    width = 2 * reach + 1
    beyond = np.full(reach, np.iinfo(np.uint64).max, dtype=np.uint64)
    padded = np.concatenate([beyond, values, beyond])
    least, span = padded, 1  # least[i] is the least of padded[i : i + span]
    while 2 * span <= width:
        least = np.minimum(least[:-span], least[span:])
        span *= 2
    rest = width - span
    if rest:
        least = np.minimum(least[:-rest], least[rest:])
    found: NDArray[np.bool_] = values == least
    return found
