"""The Fréchet distance against closed forms, and the laws of its streaming statistics."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.frechet import Gaussian, Moments, distance, gaussian_of, subset_floor


def gaussian(mean: list[float], variances: list[float], turn: np.ndarray | None = None) -> Gaussian:
    turn = np.eye(len(mean)) if turn is None else turn
    return Gaussian(1000, np.array(mean), turn @ np.diag(variances) @ turn.T)


def rotation(dims: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dims, dims)))[0]


def test_distance_of_diagonal_gaussians_is_the_closed_form():
    # |m|^2 + sum (sqrt a - sqrt b)^2
    a = gaussian([1.0, 2.0, 0.0], [1.0, 4.0, 9.0])
    b = gaussian([0.0, 0.0, 0.0], [4.0, 1.0, 9.0])
    assert distance(a, b) == pytest.approx(1 + 4 + 1 + 1 + 0, abs=1e-10)


def test_distance_of_commuting_covariances_is_the_closed_form():
    turn = rotation(6, 1)
    one, two = np.array([1.0, 2, 3, 4, 5, 6]), np.array([6.0, 0.5, 3, 1, 9, 2])
    a, b = gaussian([0.5] * 6, list(one), turn), gaussian([0.0] * 6, list(two), turn)
    expected = 6 * 0.25 + ((np.sqrt(one) - np.sqrt(two)) ** 2).sum()
    assert distance(a, b) == pytest.approx(expected, abs=1e-10)


def test_distance_of_two_by_two_covariances_that_do_not_commute_is_the_closed_form():
    # In two dimensions tr (A B)^(1/2) = sqrt(tr A B + 2 sqrt(det A B)).
    a, b = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[1.0, -0.4], [-0.4, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    got = distance(Gaussian(9, np.zeros(2), a), Gaussian(9, np.zeros(2), b))
    assert got == pytest.approx(np.trace(a) + np.trace(b) - 2 * root, abs=1e-10)


def test_distance_to_itself_is_zero_and_both_ways_are_equal():
    rng = np.random.default_rng(3)
    a, b = (gaussian_of(rng.standard_normal((50, 8)) * (1 + i)) for i in range(2))
    assert distance(a, a) == pytest.approx(0, abs=1e-10)
    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-10)


def test_distance_holds_where_the_covariance_has_no_inverse():
    rng = np.random.default_rng(4)
    few = gaussian_of(rng.standard_normal((5, 20)))
    many = gaussian_of(rng.standard_normal((500, 20)))
    assert np.isfinite(distance(few, many))
    assert distance(few, few) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_moments_do_not_depend_on_the_batches(size: int):
    rows = np.random.default_rng(5).standard_normal((301, 12)) * 3 + 100
    moments = Moments(12)
    for start in range(0, len(rows), size):
        moments.update(rows[start : start + size])
    got = moments.gaussian()
    np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(got.cov, np.cov(rows, rowvar=False), rtol=1e-9)


def test_moments_can_be_merged_in_any_order():
    rows = np.random.default_rng(6).standard_normal((100, 4))
    parts = [Moments(4) for _ in range(3)]
    for part, piece in zip(parts, np.split(rows, [10, 60]), strict=True):
        part.update(piece)
    for order in ([0, 1, 2], [2, 0, 1]):
        total = Moments(4)
        for i in order:
            total.merge(parts[i])
        np.testing.assert_allclose(total.gaussian().cov, np.cov(rows, rowvar=False), rtol=1e-12)
    total.merge(Moments(4))
    assert total.n == 100


def test_an_empty_batch_changes_nothing():
    moments = Moments(3)
    moments.update(np.zeros((0, 3)))
    assert moments.n == 0


def test_floor_of_the_whole_pool_is_its_distance_and_draws_repeat():
    rng = np.random.default_rng(7)
    pool, reference = rng.standard_normal((60, 3)), gaussian_of(rng.standard_normal((60, 3)))

    def floor(n: int) -> float:
        return subset_floor(pool, np.full(60, -1), np.full(n, -1), reference, 5, 0)

    assert floor(60) == distance(gaussian_of(pool), reference)
    assert floor(20) == floor(20)
    assert floor(20) > floor(60)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Moments(3).update(np.zeros((2, 4))), r"shape \(n, 3\), got \(2, 4\)"),
        (lambda: Moments(1).update(np.array([[np.nan]])), "features must be finite"),
        (lambda: gaussian_of(np.zeros((1, 2))), "at least 2 images, got 1"),
        (lambda: distance(gaussian([0.0], [1.0]), gaussian([0.0, 0.0], [1.0, 1.0])), "same number of features"),
        (
            lambda: subset_floor(np.zeros((5, 2)), np.zeros(5), np.zeros(6), gaussian([0.0, 0], [1.0, 1]), 1, 0),
            "2 to 5 images.*got 6",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(act, message: str):
    with pytest.raises(DataError, match=message):
        act()
