"""The numbers of stage evaluate: their names, their floors, and equal n on both sides of every ratio."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics import measure
from ddpm_core.metrics.frechet import distance, gaussian_of
from ddpm_core.metrics.measure import RealFeatures


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, 4)) + shift).astype(np.float32)


def real(train: int, test: int) -> RealFeatures:
    rows = features(train, 1)
    return RealFeatures(gaussian_of(rows), rows, features(test, 2))


def test_real_samples_score_about_their_floor_and_shifted_ones_far_above():
    good = measure.distances("fd", features(300, 3), real(900, 300), 5, 0)
    bad = measure.distances("fd", features(300, 3, 1.0), real(900, 300), 5, 0)
    assert good["fd_ratio_train"] < 3
    assert good["fd_ratio_test"] < 3
    assert bad["fd_ratio_train"] > 50
    assert bad["fd_ratio_test"] > 50


def test_ratio_is_taken_at_the_n_of_the_floor_where_samples_outnumber_real_images():
    samples, reference = features(500, 3), real(900, 100)
    got = measure.distances("fd", samples, reference, 5, 0)
    at_floor = distance(gaussian_of(samples[:100]), reference.train)
    assert got["fd_floor_train"] == distance(gaussian_of(reference.test_rows), reference.train)
    assert got["fd_ratio_train"] == at_floor / got["fd_floor_train"]
    assert got["fd_train"] == distance(gaussian_of(samples), reference.train)


def test_a_floor_of_nothing_allows_nothing():
    rows = features(100, 1)
    same = RealFeatures(gaussian_of(rows), rows, rows)
    assert measure.distances("fd", features(100, 3), same, 1, 0)["fd_ratio_train"] > 1e6
    assert measure.distances("fd", rows, same, 1, 0)["fd_ratio_train"] <= 1


def test_too_few_images_for_a_distance_are_refused():
    with pytest.raises(DataError, match="at least 2 samples and 2 images of each split; got 1 samples"):
        measure.distances("fd", features(1, 3), real(10, 10), 1, 0)


def test_asked_labels_are_those_of_the_test_split():
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    same = measure.asked_labels(labels, 100, 0)
    assert np.bincount(same).tolist() == [70, 20, 10]
    assert np.bincount(measure.asked_labels(labels, 200, 0)).tolist() == [140, 40, 20]
    np.testing.assert_array_equal(same, measure.asked_labels(labels, 100, 0))
    assert (same != measure.asked_labels(labels, 100, 1)).any()


def test_accuracy_is_the_share_called_by_the_label_asked_for():
    logits = np.eye(3)[[0, 1, 1, 2]]
    assert measure.accuracy(np.array([0, 1, 2, 2]), logits, 3) == {"accuracy_asked": 0.75, "accuracy_class_min": 0.5}


def test_reach_has_a_class_minimum_only_where_there_are_classes():
    reference, samples = real(200, 100), features(100, 3)
    labels = np.arange(100) % 4
    assert set(measure.reach("fd", samples, reference, labels, 5, 4)) == {
        "fd_coverage",
        "fd_coverage_real",
        "fd_coverage_class_min",
    }
    assert set(measure.reach("fd", samples, reference, labels, 5, 0)) == {"fd_coverage", "fd_coverage_real"}
    assert measure.reach("fd", samples, real(200, 5), labels[:5], 5, 4) == {}


def test_numbers_are_rounded_to_significant_digits():
    assert measure.rounded({"a": 1.23456789012345e-7, "n": 1000}) == {"a": 1.23456789e-7, "n": 1000.0}


def test_groups_of_a_grid_are_by_class_or_one():
    labels = np.array([1, 0, 1, 1])
    assert measure.by_class(labels, ("a", "b"), 2) == [("a", [1]), ("b", [0, 2])]
    assert measure.by_class(np.full(10, -1), (), 2) == [("", [0, 1, 2, 3])]
