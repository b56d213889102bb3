"""k-means on features: separate heaps are found whatever their size; equal input gives equal clusters."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.kinds.pictures.reference.clusters import Clusters


def heaps(sizes: list[int], apart: float = 30.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Normal heaps on different axes of 80 dimensions, shuffled, and the heap of each row."""
    rng = np.random.Generator(np.random.Philox(key=[1, 0]))
    which = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return (rng.normal(size=(len(which), 80)) + apart * np.eye(80)[which]).astype(np.float32), which


def test_separate_heaps_are_the_clusters_and_the_largest_is_the_first() -> None:
    rows, which = heaps([40, 90, 60])
    labels = Clusters.of(rows, 3).label(rows)
    for heap, label in ((1, 0), (2, 1), (0, 2)):
        assert (labels[which == heap] == label).all()


def test_equal_features_and_seed_give_equal_clusters_and_new_rows_go_to_the_nearest() -> None:
    rows, _ = heaps([50, 50, 50, 50])
    one, two = Clusters.of(rows, 7), Clusters.of(rows, 7)
    assert np.array_equal(one.centres, two.centres)
    assert one.label(rows[:5]).tolist() == one.label(rows)[:5].tolist()


def test_each_centre_is_the_mean_of_what_is_nearest_to_it() -> None:
    rows, _ = heaps([80, 80, 80])
    found = Clusters.of(rows, 3)
    points, labels = (rows - found.mean) @ found.axes, found.label(rows)
    for label, centre in enumerate(found.centres):
        np.testing.assert_allclose(points[labels == label].mean(axis=0), centre, atol=1e-4)


def test_a_heap_too_small_to_learn_from_is_no_cluster_of_its_own() -> None:
    rows, which = heaps([100, 100, 3])
    found = Clusters.of(rows, 3)
    assert len(found.centres) == 2
    assert np.bincount(found.label(rows)).min() >= 100
    assert len(np.unique(found.label(rows)[which == 0])) == 1


@pytest.mark.parametrize("n", [1, 4])
def test_equal_rows_are_one_cluster(n: int) -> None:
    assert Clusters.of(np.ones((n, 8), np.float32), 3).label(np.ones((2, 8), np.float32)).tolist() == [0, 0]
