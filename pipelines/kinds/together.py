"""What must be known of the data of all partitions together: keys of copies, sides of the split, near duplicates.

All is found from digests and fingerprints, in arrays, so that memory grows with some
300 bytes a datum and not with its row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.kinds.split import SplitConfig, split_of

COLUMNS = ("source_sha256", "content_sha256", "side", "fingerprint")
_SIDES = {"": 0, "test": 1, "train": 2}

Alike = Callable[[NDArray[np.bytes_]], NDArray[np.int64]]
"""From fingerprints to groups: for each fingerprint the index of the first one in its group of near duplicates."""


@dataclass(frozen=True, eq=False)
class Together:
    """Of each datum, in the order of the partitions."""

    copies: NDArray[np.int64]  # how many with its key came before it
    train: NDArray[np.bool_]  # whether it is one of the training split
    group: NDArray[np.bytes_]  # the name of its group of near duplicates, empty if it has none

    def part(self, begin: int, end: int) -> "Together":
        return Together(self.copies[begin:end], self.train[begin:end], self.group[begin:end])


def together(tables: Sequence[Path], config: SplitConfig, alike: Alike | None) -> Together:
    """Of tables with `COLUMNS`. Equal contents lie on one side, and so do near duplicates where `alike` finds them."""
    keys, contents, said, marks = [], [], [], []
    for path in tables:
        table = pq.read_table(path, columns=list(COLUMNS)).to_pydict()
        keys.append(np.frombuffer(bytes.fromhex("".join(each[:16] for each in table["source_sha256"])), ">u8"))
        contents.append(np.frombuffer(bytes.fromhex("".join(table["content_sha256"])), "S32"))
        said.append(np.array([_SIDES[side] for side in table["side"]], np.int8))
        if alike:
            longest = max((len(each) for each in table["fingerprint"]), default=0)
            marks.append(np.array(table["fingerprint"], dtype=f"S{max(1, longest)}"))
    if not tables:
        return Together(np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, "S16"))
    digests, first, content = np.unique(np.concatenate(contents), return_index=True, return_inverse=True)
    root = np.arange(len(digests))
    if alike:
        fingerprints = np.concatenate(marks)[first]
        marks.clear()
        root = alike(fingerprints)
    train = _in_train(digests, root, content, np.concatenate(said), config)
    group = np.zeros(len(digests), "S16")
    several = np.bincount(root, minlength=len(root))[root] > 1
    group[several] = [each.hex()[:16].encode() for each in _bytes(digests[root[several]])]
    return Together(earlier(np.concatenate(keys)), train[content], group[content])


def _in_train(
    digests: NDArray[np.bytes_],
    root: NDArray[np.int64],
    content: NDArray[np.int64],
    said: NDArray[np.int8],
    config: SplitConfig,
) -> NDArray[np.bool_]:
    """Of each content: a group lies in train if its source says so of one datum, or nothing of one and chance does."""
    drawn = np.array([split_of(digest.hex(), config) == "train" for digest in _bytes(digests)])
    own = np.where(said == 0, drawn[root[content]], said == _SIDES["train"])
    of_root = np.zeros(len(digests), np.bool_)
    np.logical_or.at(of_root, root[content], own)
    return of_root[root]


def _bytes(digests: NDArray[np.bytes_]) -> list[bytes]:
    """All 32 of each; numpy drops zeros at the end."""
    return [each.ljust(32, b"\0") for each in digests.tolist()]


def earlier(values: NDArray[Any]) -> NDArray[np.int64]:
    """How many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    places = np.arange(len(values))
    earlier = np.empty(len(values), np.int64)
    earlier[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    return earlier
