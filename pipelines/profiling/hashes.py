"""A difference hash: 64 bits that hardly change when a picture is scaled, brightened or compressed."""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]

_NEAR = 2  # bits of 64 in which near copies may differ
_LEAST_BITS = 8  # that must be set, and not be set: of flat pictures the hash says nothing
_BLOCK = 512


def difference_hash(grey: NDArray[np.float32]) -> Bits:
    """Of pictures [n, H, W]: of 8 x 9 mean levels whether each is above its left neighbour, [n, 8] bytes."""
    rows = np.linspace(0, grey.shape[1], 9).astype(int)
    columns = np.linspace(0, grey.shape[2], 10).astype(int)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
    means = sums / (np.diff(rows)[:, None] * np.diff(columns))
    return np.packbits((np.diff(means, axis=2) > 0.5).reshape(len(grey), 64), axis=1)


def near_copies(hashes: Bits) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose hashes differ in two bits at most."""
    count = np.bitwise_count(hashes).sum(axis=1)
    tells = np.flatnonzero((count >= _LEAST_BITS) & (count <= 64 - _LEAST_BITS))
    words = np.ascontiguousarray(hashes[tells]).view(np.uint64).ravel()
    pairs = []
    for start in range(0, len(words), _BLOCK):
        apart = np.bitwise_count(words[start : start + _BLOCK, None] ^ words[None, :])
        for i, j in np.argwhere(apart <= _NEAR):
            if start + i < j:
                pairs.append((int(tells[start + i]), int(tells[j])))
    return pairs
