"""Labels to ask for and real images of the same labels, in even shares and in order of nothing but chance."""

import numpy as np
import pytest

from ddpm_core.metrics.distances import frechet_distances
from ddpm_core.metrics.frechet import RealFeatures, distance, gaussian_of, infinity, subset_floor
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.labels import as_many_like, asked_labels, by_class, even_order, even_part, rows_like
from tests.support.described import numbers


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def classes_apart(labels: np.ndarray, seed: int) -> np.ndarray:
    means = 5.0 * np.eye(3, 12)
    return (means[labels] + np.random.default_rng(seed).normal(size=(len(labels), 12))).astype(np.float32)


def test_asked_labels_are_those_of_the_test_split():
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    same = asked_labels(labels, 100, 0)
    assert sorted(same) == sorted(labels)
    assert np.bincount(asked_labels(labels, 200, 0)).tolist() == [140, 40, 20]
    np.testing.assert_array_equal(same, asked_labels(labels, 100, 0))
    assert (same != asked_labels(labels, 100, 1)).any()


def test_a_part_has_the_shares_of_the_whole_and_the_first_of_each():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    rows = even_part(labels, 10)
    assert np.bincount(labels[rows]).tolist() == [6, 3, 1]
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 60, 61, 62, 90]
    assert even_part(labels, 500).tolist() == list(range(100))
    assert even_part(np.full(7, -1), 3).tolist() == [0, 1, 2]


def test_every_beginning_of_the_even_order_has_the_shares_of_all():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = even_order(labels)
    assert sorted(order) == list(range(100))
    for n in range(1, 101):
        counts = np.bincount(labels[order[:n]], minlength=3)
        assert np.abs(counts - n * np.array([0.6, 0.3, 0.1])).max() <= 1


def test_as_many_of_each_label_are_drawn_as_were_asked_and_none_twice():
    labels, asked = np.repeat([0, 1, 2, -1], [50, 40, 9, 3]), np.repeat([2, 0, 1], [5, 20, 3])
    rows = rows_like(asked, labels, rng())
    assert np.bincount(labels[rows]).tolist() == [20, 3, 5]
    assert len(set(rows)) == 28
    assert sorted(rows) == rows.tolist()
    assert (rows != rows_like(asked, labels, np.random.default_rng(1))).any()


@pytest.mark.parametrize(("asked", "least"), [([0] * 30, 10), ([5] * 4, 0), ([-1] * 39, 0), ([-1, 0, 0, 0], 3)])
def test_where_no_label_is_asked_or_none_is_left_any_is_drawn(asked, least):
    labels = np.repeat([0, 1], [10, 30])
    rows = rows_like(np.array(asked), labels, rng())
    assert len(set(rows)) == len(asked)
    assert (labels[rows] == 0).sum() >= least


@pytest.mark.parametrize(
    ("asked", "labels", "expected"),
    [
        ([0, 1, 0, 1], [0, 0, 0, 1, 1, 1], (4, True)),
        ([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2], (4, True)),
        ([0, 1, 0, 1, 0, 1], [0, 1, 2, 2, 2, 2], (6, False)),
        ([0] * 100 + [1] * 100, [0] * 99 + [1] * 300, (200, True)),
        ([-1] * 9, [-1] * 5, (5, True)),
        ([-1] * 4, [0, 1] * 3, (4, True)),
        ([0] * 4, [-1] * 6, (4, False)),
    ],
)
def test_so_many_are_drawn_as_have_the_labels_asked(asked, labels, expected):
    assert as_many_like(np.array(asked), np.array(labels)) == expected


def test_a_floor_whose_labels_are_wanting_is_of_fewer_or_told():
    asked = np.arange(300) % 3
    test = classes_apart(asked, 1)
    for kept, told in ((np.arange(200) % 3, False), (np.zeros(200, dtype=np.int64), True)):
        train = classes_apart(kept, 2)
        real = RealFeatures(gaussian_of(test), train, kept, test, asked)
        metrics = frechet_distances("fd", classes_apart(asked, 3), asked, real, 3, Resampling(2, 0, 0.95))
        assert ("fd_floor_test of the labels asked" in {m.name for m in metrics if m.left_out}) is told
        assert (numbers(metrics)["fd_floor_test"] > 10) is told


def test_the_extrapolation_is_not_led_by_the_chance_of_labels():
    asked = np.arange(300) % 3
    train = gaussian_of(classes_apart(np.arange(30_000) % 3, 1))
    spreads = [
        np.std([infinity(classes_apart(asked, 2), kind, train, seed) for seed in range(30)])
        for kind in (asked, np.full(300, -1))
    ]
    assert spreads[0] < 0.7 * spreads[1]


def test_a_model_as_good_as_real_images_scores_one_to_splits_of_unlike_shares():
    draw = np.random.default_rng(3)
    train, test = draw.integers(0, 3, 3000), draw.choice(3, 900, p=[0.5, 0.3, 0.2])
    rows = classes_apart(train, 4)
    real = RealFeatures(gaussian_of(rows), rows, train, classes_apart(test, 5), test)
    asked = asked_labels(test, 900, 0)
    found = [
        numbers(frechet_distances("fd", classes_apart(asked, seed), asked, real, 10, Resampling(2, 0, 0.95)))
        for seed in range(10, 30)
    ]
    for split in ("train", "test"):
        assert np.mean([one[f"fd_ratio_{split}"] for one in found]) == pytest.approx(1.0, abs=0.2)
    any_label = subset_floor(rows, train, np.full(900, -1), gaussian_of(real.test_rows), 10, 0)
    assert any_label > 5 * found[0]["fd_floor_test"]
    assert found[0]["fd_floor_train"] == distance(gaussian_of(real.test_rows), real.train)


def test_groups_of_a_grid_are_by_class_or_one():
    labels = np.array([1, 0, 1, 1])
    assert by_class(labels, ("a", "b"), 2) == [("a", [1]), ("b", [0, 2])]
    assert by_class(np.full(10, -1), (), 2) == [("", [0, 1, 2, 3])]
