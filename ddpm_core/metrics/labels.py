"""Which labels samples are asked for, and real data of the same labels, so that chance in them is on neither side.

How often each class comes is most of the chance in a Fréchet distance, and says nothing of a model. -1 is no label.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Rows = NDArray[np.int64]


def asked_rows(unseen: int, n: int, seed: int) -> Rows:
    """The rows of the test split whose conditions n samples get: in a random order, repeated where n is more."""
    order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(unseen)
    return np.resize(order, n)


def asked_labels(test_labels: Labels, n: int, seed: int) -> Labels:
    """The labels that n samples get, as the test split has them."""
    return test_labels[asked_rows(len(test_labels), n, seed)].astype(np.int64)


def even_order(labels: Labels) -> Rows:
    """All rows, each label's in their order, such that the first so many have the shares of all."""
    _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    reached = np.empty(len(labels))
    for number, count in enumerate(counts):
        reached[which == number] = (np.arange(count) + 0.5) / count
    return np.argsort(reached, kind="stable")


def even_part(labels: Labels, n: int) -> Rows:
    """The rows of n, of each class the first, as many as its share of all; in rising order."""
    return np.sort(even_order(labels)[:n])


def as_many_like(asked: Labels, labels: Labels) -> tuple[int, bool]:
    """How many of the first asked can be drawn from rows of these labels, and whether they have the labels asked.

    One in a hundred may lack its label. Where that leaves less than half, it is better to let labels go.
    """
    most = min(len(asked), len(labels))
    lacking = np.zeros(most, dtype=bool)
    for label in np.unique(asked[asked >= 0]):
        lacking[np.flatnonzero(asked[:most] == label)[np.count_nonzero(labels == label) :]] = True
    served = np.flatnonzero(np.cumsum(lacking) <= 0.01 * np.arange(1, most + 1))
    n = int(served[-1]) + 1 if len(served) else 0
    return (n, True) if 2 * n >= most else (most, False)


def rows_like(asked: Labels, labels: Labels, rng: np.random.Generator) -> Rows:
    """Random rows of these labels, one for each asked; of any label where -1 is asked or there are no more of it."""
    free = np.ones(len(labels), dtype=bool)
    for label, count in zip(*np.unique(asked[asked >= 0], return_counts=True), strict=True):
        rows = np.flatnonzero(labels == label)
        free[rng.choice(rows, min(int(count), len(rows)), replace=False)] = False
    rest = np.flatnonzero(free)
    free[rng.choice(rest, len(asked) - (len(labels) - len(rest)), replace=False)] = False
    return np.flatnonzero(~free)


def by_class(labels: Labels, classes: Sequence[str], columns: int) -> list[tuple[str, list[int]]]:
    """For a grid: each class's name and its first few positions; one unnamed group where there are no classes."""
    if not classes:
        return [("", list(range(min(len(labels), columns * columns))))]
    return [(name, np.flatnonzero(labels == label)[:columns].tolist()) for label, name in enumerate(classes)]
