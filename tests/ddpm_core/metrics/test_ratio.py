"""A few samples against as many real images: evenly from the classes, and only then with little chance."""

import numpy as np
import pytest

from ddpm_core.metrics.frechet import gaussian_of
from ddpm_core.metrics.measure import RealFeatures, Trust
from ddpm_core.metrics.ratio import even_part, floor_to_train, ratio_to_train

TRUST = Trust(60, 0, 0.95)


def classes_apart(labels: np.ndarray, seed: int) -> np.ndarray:
    """Features of classes whose means lie far apart, so that how often each comes matters most."""
    draw = np.random.default_rng(seed)
    means = 5.0 * np.eye(3, 12)
    return (means[labels] + draw.normal(size=(len(labels), 12))).astype(np.float32)


@pytest.fixture(scope="module")
def real() -> tuple[RealFeatures, np.ndarray]:
    draw = np.random.default_rng(1)
    train, test = (draw.integers(0, 3, n) for n in (3000, 900))
    rows = classes_apart(train, 2)
    return RealFeatures(gaussian_of(rows), rows, classes_apart(test, 3)), test


def test_a_part_has_the_shares_of_the_whole_and_the_first_of_each() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    rows = even_part(labels, 10)
    assert np.bincount(labels[rows]).tolist() == [6, 3, 1]
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 60, 61, 62, 90]
    assert even_part(labels, 500).tolist() == list(range(100))
    assert even_part(np.full(7, -1), 3).tolist() == [0, 1, 2]


def test_as_good_as_real_is_a_ratio_of_one(real: tuple[RealFeatures, np.ndarray]) -> None:
    features, test_labels = real
    labels = np.random.default_rng(4).permutation(test_labels)
    asked = labels[even_part(labels, 150)]
    floor = floor_to_train(features, test_labels, asked, 20, 0)
    ratios = [ratio_to_train(classes_apart(asked, seed), asked, features, floor, TRUST) for seed in range(10, 30)]
    values = [found.value for found in ratios if found is not None]
    assert len(values) == 20
    assert np.mean(values) == pytest.approx(1.0, abs=0.2)
    assert sum(found.ends.low <= 1 <= found.ends.high for found in ratios if found is not None) >= 16


def test_labels_are_kept_so_their_chance_is_in_neither_side(real: tuple[RealFeatures, np.ndarray]) -> None:
    features, test_labels = real
    labels = np.random.default_rng(4).permutation(test_labels)[:150]
    even = test_labels[even_part(test_labels, 150)]
    wide, narrow = (
        ratio_to_train(classes_apart(asked, 5), kind, features, 1.0, TRUST)
        for asked, kind in ((labels, np.full(150, -1)), (even, even))
    )
    assert wide is not None
    assert narrow is not None
    assert narrow.ends.high - narrow.ends.low < 0.5 * (wide.ends.high - wide.ends.low)


def test_without_labels_any_images_make_the_floor(real: tuple[RealFeatures, np.ndarray]) -> None:
    features, test_labels = real
    assert floor_to_train(features, test_labels, np.full(100, -1), 3, 0) > 0


def test_a_floor_of_nothing_gives_no_unit(real: tuple[RealFeatures, np.ndarray]) -> None:
    features, _ = real
    asked = np.zeros(20, dtype=np.int64)
    assert ratio_to_train(features.test_rows[:20], asked, features, 0.0, TRUST) is None
