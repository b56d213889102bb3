"""The sliced Wasserstein distance: how far data must be moved to become others, along random directions.

Along one direction the Wasserstein-1 distance of two sets is the area between their distribution functions, found
exactly by sorting; sets of different sizes need no subsets. The mean over directions (Bonneel et al. 2015) is 0 for
equal sets alone, and is in the units of the data. Two draws of one distribution are never equal, so it stands beside a
floor: what real data of equal number score.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import STEP, Replicates, Resampling, around, resampled_within
from ddpm_core.metrics.labels import Labels, as_many_like, rows_like
from ddpm_core.metrics.metric import Metric, Rule

Features = NDArray[np.float32]
Floats = NDArray[np.float64]

SLICED = Metric(
    "sliced_wasserstein",
    "how far a sample must be moved to become unseen data, along a random direction, in standard deviations",
    "lower",
    floor="sliced_wasserstein_floor",
    ratio="sliced_wasserstein_ratio",
    distance=("sliced Wasserstein", "unseen data"),
    tile=("sliced Wasserstein; of real data {floor:.3g}", ".3g"),
)
RATIO = Metric(
    "sliced_wasserstein_ratio",
    "sliced Wasserstein distance to unseen data, as a multiple of what as much real data score",
    "lower",
    rule=Rule(
        "ratio",
        "max_distance_ratio",
        "sliced Wasserstein",
        "{value:.4g} x ({low:.4g} to {high:.4g}) real data's at the same n",
        controls=True,
    ),
    short="sliced Wasserstein",
)


def unit_directions(count: int, dims: int, seed: int) -> Floats:
    """Directions drawn evenly from the sphere, [count, dims]."""
    drawn = np.random.Generator(np.random.Philox(key=[seed, count])).standard_normal((count, dims))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def sliced_wasserstein(a: Features, b: Features, directions: Floats) -> float:
    """The mean Wasserstein-1 distance of two sets [n, dims] and [m, dims] over the directions [count, dims]."""
    if a.ndim != 2 or a.shape[1:] != b.shape[1:] or not len(a) or not len(b):
        raise DataError(f"a distance takes two sets of rows of equal width, got {a.shape} and {b.shape}")
    return float(np.mean([(gaps * np.abs(ahead)).sum() for gaps, ahead, _ in _slices(a, b, directions)]))


def sliced_replicates(a: Features, b: Features, directions: Floats, signs: Floats) -> Replicates:
    """What each weighting of the rows of a adds to the distance, b held fixed; signs [rounds, n]."""
    linear, whole = np.zeros(len(signs)), np.zeros(len(signs))
    for gaps, ahead, order in _slices(a, b, directions):
        # Of every round the change of a's distribution function at each place, [rounds, n + m - 1].
        each = np.concatenate([signs / len(a), np.zeros((len(signs), len(b)))], axis=1)[:, order]
        change = np.cumsum(each, axis=1)[:, :-1]
        linear += change @ (gaps * np.sign(ahead))
        whole += np.abs(ahead + STEP * change) @ gaps - (gaps * np.abs(ahead)).sum()
    linear, whole = linear / len(directions), whole / len(directions)
    return Replicates(linear, (whole - STEP * linear) / STEP**2)


def sliced_metrics(
    samples: Features,
    asked: Labels,
    unseen: Features,
    training: tuple[Features, Labels],
    directions: Floats,
    draws: int,
    how: Resampling,
) -> Iterator[Metric]:
    """The distance to unseen data, its floor, and the ratio of the two at the same n, with its interval.

    The floor is the mean of `draws` sets of training data of the labels asked for. Where those are fewer than the
    samples, the ratio is taken of the first so many samples.
    """
    rows, labels = training
    n, _ = as_many_like(asked, labels)
    rng = np.random.Generator(np.random.Philox(key=[how.seed, n]))
    real = [sliced_wasserstein(rows[rows_like(asked[:n], labels, rng)], unseen, directions) for _ in range(draws)]
    floor = float(np.mean(real))
    yield SLICED.measured(sliced_wasserstein(samples, unseen, directions))
    yield Metric(SLICED.floor, "the same of as many training data", value=floor)
    if floor <= 0:
        yield Metric(RATIO.name, RATIO.meaning, left_out="training and unseen data are the same, so nothing is a unit")
        return
    signs = resampled_within(asked[:n], how.rounds, how.seed)
    its = sliced_replicates(samples[:n], unseen, directions, signs)
    in_floors = Replicates(its.linear / floor, its.curved / floor)
    ratio = sliced_wasserstein(samples[:n], unseen, directions) / floor
    yield RATIO.measured(ratio, around(ratio, in_floors, how.confidence).at_least_0(), in_floors)


def _slices(a: Features, b: Features, directions: Floats) -> Iterator[tuple[Floats, Floats, NDArray[np.int64]]]:
    """Along each direction: the gaps between neighbours of both sets together, by how much a's distribution function
    is ahead of b's in each gap, and the order of the rows, a's before b's."""
    both = np.concatenate([a, b]).astype(np.float64)
    share = np.concatenate([np.full(len(a), 1.0 / len(a)), np.full(len(b), -1.0 / len(b))])
    for direction in directions:
        along = both @ direction
        order = np.argsort(along, kind="stable")
        yield np.diff(along[order]), np.cumsum(share[order])[:-1], order
