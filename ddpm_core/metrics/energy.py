"""How far samples are from real data, in units of the distance between two real data.

The energy distance (Székely and Rizzo 2013, eq. 2.1) of features, divided by the mean distance of two real data:

    e = (2 mean |s - r| - mean |s - s'| - mean |r - r'|) / mean |r - r'|,  no image paired with itself

It means the same on every data set. Samples of the data's own distribution score 0; K real data repeated for ever
score 1 / K; a share p of samples replaced by others scores p^2 times what those others score. Its mean does not depend
on how many samples or real data there are, so both sides may have any number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import Replicates, resampled, resampled_within
from ddpm_core.metrics.labels import Labels, as_many_like, rows_like

Features = NDArray[np.float32]
Floats = NDArray[np.float64]

_BLOCK = 1024
_MOST_UNSEEN, _MOST_TRAINING = 5000, 2000  # rows that are used; more would cost time and tell nothing


@dataclass(frozen=True, eq=False)
class Against:
    """Unseen real data, and what training data of the labels asked for score beside them (`against` makes it)."""

    unseen: Features
    unit: float  # the mean distance of two unseen data
    floor: float  # what training data score, without the term that everyone has in common
    floor_of_unseen: Floats  # the mean distance of each unseen datum to those training data


@dataclass(frozen=True, eq=False)
class Energy:
    """The value, 0 for a perfect model, and what each resampling of samples and unseen data adds to it."""

    value: float
    replicates: Replicates


def against(
    unseen: Features, training: Features, training_labels: Labels, asked: Labels, draws: int, seed: int
) -> Against:
    """What samples of these labels (-1: none) are held against; `draws` sets of training data make the floor."""
    unseen = unseen[:_MOST_UNSEEN]
    if min(len(unseen), len(training)) < 2:
        raise DataError(
            f"an energy distance takes at least 2 unseen and 2 training data, got {len(unseen)} and {len(training)}"
        )
    unit = float(row_means(unseen).mean())
    if unit <= 0:
        raise DataError("an energy distance takes unseen data that differ, and these all have the same features")
    n = max(2, as_many_like(asked[:_MOST_TRAINING], training_labels)[0])
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    floors, of_unseen = [], []
    for _ in range(draws):
        rows = training[rows_like(asked[:n], training_labels, rng)]
        to_unseen, from_unseen = cross_means(rows, unseen)
        floors.append(2.0 * float(to_unseen.mean()) - float(row_means(rows).mean()))
        of_unseen.append(from_unseen)
    return Against(unseen, unit, float(np.mean(floors)), np.mean(of_unseen, axis=0))


def energy(samples: Features, asked: Labels, real: Against, rounds: int, seed: int) -> Energy:
    """e of the samples less the mean e of training data of the labels asked for.

    The second term takes off what no model can help: the chance in the unseen data, and the share of classes that
    both sides have in common.
    """
    if len(samples) < 2:
        raise DataError(f"an energy distance takes at least 2 samples, got {len(samples)}")
    n, unseen = len(samples), real.unseen
    to_unseen, from_unseen = cross_means(samples, unseen)
    signs = resampled_within(asked, rounds, seed)
    apart, quadratic = _own_distances(samples, signs)
    value = 2.0 * float(to_unseen.mean()) - float(apart.mean()) - real.floor
    linear = signs @ (2.0 * (to_unseen - apart)) / n
    linear += resampled(len(unseen), rounds, seed) @ (2.0 * (from_unseen - real.floor_of_unseen)) / len(unseen)
    curved = -quadratic / (n * (n - 1))
    return Energy(value / real.unit, Replicates(linear / real.unit, curved / real.unit))


def row_means(rows: Features) -> Floats:
    """The mean distance of each row to the others of its own set."""
    return _own_distances(rows, np.empty((0, len(rows))))[0]


def cross_means(a: Features, b: Features) -> tuple[Floats, Floats]:
    """The mean distance of each row of a to b, and of each row of b to a."""
    of_a, of_b = np.empty(len(a)), np.zeros(len(b))
    for start, block in _distances(a, b):
        of_a[start : start + len(block)] = block.mean(axis=1)
        of_b += block.sum(axis=0)
    return of_a, of_b / len(a)


def _own_distances(rows: Features, signs: Floats) -> tuple[Floats, Floats]:
    """Of the distances D within the rows the mean of each row's to the others, and s^T D s for every round s."""
    means, quadratic = np.empty(len(rows)), np.zeros(len(signs))
    for start, block in _distances(rows, rows):
        np.fill_diagonal(block[:, start:], 0.0)  # a row's distance to itself, which round-off makes more than 0
        means[start : start + len(block)] = block.sum(axis=1) / (len(rows) - 1)
        quadratic += np.einsum("rb,br->r", signs[:, start : start + len(block)], block @ signs.T)
    return means, quadratic


def _distances(a: Features, b: Features) -> Iterator[tuple[int, Floats]]:
    """Euclidean distances of a's rows to b's, in blocks of a's rows, each with the place where it begins."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    b_squared = (b64 * b64).sum(axis=1)
    for start in range(0, len(a64), _BLOCK):
        rows = a64[start : start + _BLOCK]
        squared = (rows * rows).sum(axis=1)[:, None] + b_squared - 2.0 * rows @ b64.T
        yield start, np.sqrt(np.maximum(squared, 0.0))
