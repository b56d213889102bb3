"""Coverage, per-class shares and the faults that pixels show."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.coverage import class_coverage, class_shares, neighbours
from ddpm_core.metrics.pixels import constant_share, duplicate_share, saturated_share


def coverage(reference: np.ndarray, samples: np.ndarray, k: int) -> np.ndarray:
    return neighbours(reference, samples, k).covered


def test_a_share_is_by_class_and_not_a_number_where_a_class_has_none():
    np.testing.assert_array_equal(class_shares(np.array([1, 2, 0]), np.array([2, 2, 0])), [0.5, 1.0, np.nan])


def test_a_set_covers_itself_and_a_far_one_covers_nothing():
    rows = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    assert coverage(rows, rows, 3).all()
    assert not coverage(rows, rows + 100, 3).any()


def test_coverage_is_that_of_the_plain_definition():
    rng = np.random.default_rng(1)
    real, fake = (rng.standard_normal((60, 3)).astype(np.float32) for _ in range(2))
    own = np.sort(np.linalg.norm(real[:, None].astype(float) - real[None], axis=2), axis=1)[:, 2]
    closest = np.linalg.norm(real[:, None].astype(float) - fake[None], axis=2).min(axis=1)
    np.testing.assert_array_equal(coverage(real, fake, 2), closest < own)


def test_a_sample_just_as_far_as_the_neighbour_does_not_cover():
    real = np.array([[0], [1], [2]], np.float32)
    assert coverage(real, np.array([[-1], [99]], np.float32), 1).tolist() == [False, False, False]
    assert coverage(real, np.array([[-0.9], [99]], np.float32), 1).tolist() == [True, False, False]


def test_a_class_that_no_sample_reaches_is_seen():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(3), 50)
    centres = np.array([[0, 0], [50, 0], [0, 50]])[labels]
    real = (centres + rng.standard_normal((150, 2))).astype(np.float32)
    fake = real[labels < 2] + 0.01
    shares = class_coverage(coverage(real, fake.astype(np.float32), 5), labels, 4)
    assert shares[0] == shares[1] == 1.0
    assert shares[2] == 0.0
    assert np.isnan(shares[3])


def test_coverage_of_too_few_images_is_refused():
    with pytest.raises(DataError, match=r"more than k = 5 images, got 5; lower evaluate.coverage_k"):
        coverage(np.zeros((5, 2), np.float32), np.zeros((5, 2), np.float32), 5)


def test_constant_repeated_and_saturated_values_are_counted():
    images = np.random.default_rng(3).integers(1, 255, (10, 3, 4, 4), dtype=np.uint8)
    assert (constant_share(images), duplicate_share(images), saturated_share(images, 255)) == (0.0, 0.0, 0.0)
    images[0] = np.array([10, 20, 30], dtype=np.uint8)[:, None, None]  # one colour, though its channels differ
    images[1], images[2] = images[3], images[3]
    images[4] = 255
    assert constant_share(images) == pytest.approx(0.2)
    assert duplicate_share(images) == pytest.approx(0.2)
    assert saturated_share(images, 255) == pytest.approx(0.1)
