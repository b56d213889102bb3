"""Intervals against closed forms, tables and brute force; how often they cover is counted in benchmarks/."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics import intervals
from ddpm_core.metrics.frechet import Gaussian, distance, gaussian_of, infinity
from ddpm_core.metrics.intervals import (
    STEP,
    Interval,
    Replicates,
    around,
    clopper_pearson,
    detectable,
    frechet_replicates,
    mean_replicates,
    quantile,
    reflected,
    resampled,
    resampled_within,
    wilson,
)


def gaussian_rows(n: int, dims: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dims)) / np.sqrt(np.arange(1, dims + 1)) + shift


def unit(dims: int) -> Gaussian:
    return Gaussian(10**6, np.zeros(dims), np.diag(1.0 / np.arange(1, dims + 1)))


def weighted(rows: np.ndarray, weights: np.ndarray, reference: Gaussian) -> float:
    n = len(rows)
    mean = weights @ rows / n
    cov = ((rows - mean) * weights[:, None]).T @ (rows - mean) / (n - 1)
    return distance(Gaussian(n, mean, cov), reference)


@pytest.mark.parametrize(("n", "dims"), [(60, 5), (20, 50), (21, 50)])
def test_replicates_are_the_distances_of_the_samples_weighted_anew(n, dims):
    rows, reference = gaussian_rows(n, dims, 0, 0.3), unit(dims)
    signs = resampled(n, 8, 1)
    found = frechet_replicates(rows, reference, signs)
    value = distance(gaussian_of(rows), reference)
    for number, sign in enumerate(signs):
        drawn = weighted(rows, 1 + STEP * sign, reference)
        change = STEP * found.linear[number] + STEP**2 * found.curved[number]
        assert value + change == pytest.approx(drawn, rel=1e-7)


def test_of_very_many_features_the_whole_is_worked_out_for_the_first_rounds_alone(monkeypatch):
    rows, reference, signs = gaussian_rows(60, 5, 0, 0.3), unit(5), resampled(60, 200, 1)
    full = frechet_replicates(rows, reference, signs)
    monkeypatch.setattr(intervals, "_WORK", 1.0)
    first = frechet_replicates(rows, reference, signs)
    np.testing.assert_array_equal(first.curved[:16], full.curved[:16])
    assert np.isnan(first.curved[16:]).all()
    np.testing.assert_array_equal(first.linear, full.linear)
    assert first.bias == pytest.approx(full.bias, rel=0.5)
    assert first.spread == pytest.approx(full.spread, rel=0.3)


def test_the_linear_part_is_the_derivative_of_the_distance_in_the_weights():
    rows, reference = gaussian_rows(80, 4, 0, 0.3), unit(4)
    sign = resampled(80, 1, 2)[0]
    linear = frechet_replicates(rows, reference, sign[None]).linear[0]
    up, down = (weighted(rows, 1 + step * sign, reference) for step in (1e-4, -1e-4))
    assert (up - down) / 2e-4 == pytest.approx(linear, rel=1e-5)


def test_the_spread_of_equal_distributions_is_that_of_their_distances():
    values, spreads = [], []
    for seed in range(200):
        rows = gaussian_rows(100, 16, seed)
        values.append(distance(gaussian_of(rows), unit(16)))
        spreads.append(frechet_replicates(rows, unit(16), resampled(100, 40, seed)).spread)
    assert np.median(spreads) == pytest.approx(np.std(values), rel=0.25)


def test_a_mean_has_the_spread_of_the_textbook_and_no_bias():
    values = np.random.default_rng(0).random(400)
    found = mean_replicates(values, resampled(400, 4000, 0))
    assert found.spread == pytest.approx(values.std() / 20, rel=0.05)
    assert found.bias == 0


def test_the_bias_of_equal_distributions_is_told_and_reflected_away():
    values, found = [], []
    for seed in range(20):
        rows = gaussian_rows(300, 8, seed)
        values.append(distance(gaussian_of(rows), unit(8)))
        found.append(frechet_replicates(rows, unit(8), resampled(300, 60, 0)))
    assert np.mean([each.bias for each in found]) == pytest.approx(np.mean(values), rel=0.1)
    ends = [reflected(value, each, 0.95) for value, each in zip(values, found, strict=True)]
    assert sum(end.low <= 0 <= end.high for end in ends) >= 18


def test_the_interval_at_this_n_is_as_wide_and_lies_around_the_value():
    rows = gaussian_rows(300, 8, 0)
    value, found = distance(gaussian_of(rows), unit(8)), frechet_replicates(rows, unit(8), resampled(300, 60, 0))
    here, unbiased = around(value, found, 0.95), reflected(value, found, 0.95)
    assert here.high - here.low == pytest.approx(unbiased.high - unbiased.low)
    assert here.low + here.high == pytest.approx(2 * value)
    assert unbiased.high < here.high


def test_spread_takes_off_what_the_bootstrap_counts_three_times():
    one, other = np.array([-1.0, 1.0] * 50), np.repeat([-1.0, 1.0], 50)  # uncorrelated
    assert Replicates(3 * one, other).spread == pytest.approx(np.sqrt(8 * 100 / 99))
    assert Replicates(one, other).spread == pytest.approx(np.sqrt(100 / 99))


def test_spread_is_never_more_than_that_of_the_whole():
    one, other = np.array([-1.0, 1.0] * 50), np.repeat([-1.0, 1.0], 50)
    assert Replicates(9 * one + other, -9 * one).spread == pytest.approx(np.sqrt(100 / 99))


def test_a_difference_of_two_models_weighted_alike_is_paired():
    rows = gaussian_rows(300, 4, 0)
    signs = resampled(300, 400, 0)
    one = frechet_replicates(rows, unit(4), signs)
    other = frechet_replicates(rows + 0.01, unit(4), signs)
    assert one.minus(other).spread < 0.3 * one.spread
    assert one.minus(one).spread == 0
    with pytest.raises(DataError, match="equally often to be compared, got 400 and 20 rounds"):
        one.minus(frechet_replicates(rows, unit(4), resampled(300, 20, 0)))


@pytest.mark.parametrize("n", [2, 50, 51])
def test_in_each_round_half_of_the_samples_weigh_more_and_all_weigh_n(n):
    signs = resampled(n, 7, 3)
    assert signs.shape == (7, n)
    np.testing.assert_allclose(signs.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose((signs**2).sum(axis=1), n)
    heavier = (signs > 0).sum(axis=1)
    assert set(heavier) == {n // 2, n - n // 2}
    if n % 2 == 0:
        assert (np.abs(signs) == 1).all()
    np.testing.assert_array_equal(signs, resampled(n, 7, 3))


def test_halves_are_drawn_anew_each_round_and_every_sample_is_as_often_in_either():
    signs = resampled(40, 2000, 0)
    assert np.abs(signs.mean(axis=0)).max() < 0.1
    correlation = signs.T @ signs / 2000 - np.eye(40)
    assert np.abs(correlation[~np.eye(40, dtype=bool)] + 1 / 39).max() < 0.12


def test_every_label_keeps_its_weight_and_those_of_one_sample_keep_theirs_together():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 7, 8, 9], [30, 11, 3, 1, 1, 1]))
    signs = resampled_within(labels, 50, 3)
    for rows in (labels == 0, labels == 1, labels == 2, labels > 2):
        np.testing.assert_allclose(signs[:, rows].sum(axis=1), 0, atol=1e-12)
        np.testing.assert_allclose((signs[:, rows] ** 2).sum(axis=1), rows.sum())
    assert (signs[:, labels == 7] != 0).all()
    assert len(np.unique(signs, axis=0)) == 50


def test_one_sample_alone_tells_of_no_chance():
    assert (resampled_within(np.array([3]), 5, 0) == 0).all()
    assert (resampled_within(np.array([0, 0, 1]), 5, 0)[:, 2] == 0).all()


@pytest.mark.parametrize("n", [2, 3, 4, 11])
def test_however_few_tell_the_variance_of_their_sum_without_bias(n):
    values = np.random.default_rng(n).standard_normal((4000, n))
    assert np.mean((values @ resampled(n, 400, 0).T) ** 2) == pytest.approx(n, rel=0.05)


def test_without_labels_halves_are_of_all():
    np.testing.assert_array_equal(resampled_within(np.full(41, -1), 7, 3), resampled(41, 7, 3))


@pytest.mark.parametrize(("shift", "widest", "free_at_least"), [(0.3, 1.15, 0.85), (0.0, 1.3, 1.9)])
def test_the_chance_of_a_draw_for_given_labels_is_told_and_not_that_of_the_labels(shift, widest, free_at_least):
    means, labels = 4.0 * np.eye(5, 8), np.repeat(np.arange(5), 60)
    draws = [means[labels] + shift + np.random.default_rng(seed).standard_normal((300, 8)) for seed in range(300)]
    many = np.random.default_rng(999)
    reference = gaussian_of(means[many.integers(0, 5, 20000)] + many.standard_normal((20000, 8)))
    chance = np.std([distance(gaussian_of(rows), reference) for rows in draws], ddof=1)
    kept, free = (
        np.mean([frechet_replicates(rows, reference, signs).spread for rows in draws[:20]])
        for signs in (resampled_within(labels, 100, 0), resampled(300, 100, 0))
    )
    assert 0.85 < kept / chance < widest
    assert free / chance > free_at_least


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_table(part, whole, low, high):  # Newcombe 1998, table I, method 3
    assert wilson(part, whole, 0.95) == Interval(pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_clopper_and_pearson_give_newcombes_table(part, whole, low, high):  # the same, method 5
    assert clopper_pearson(part, whole, 0.95) == Interval(pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_of_all_samples_or_none_the_exact_interval_is_the_rule_of_three():
    assert clopper_pearson(0, 1000, 0.9).high == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert clopper_pearson(1000, 1000, 0.9).low == pytest.approx(0.05 ** (1 / 1000))
    assert clopper_pearson(1000, 1000, 0.9).high == 1.0


def test_what_is_told_grows_with_the_spread():
    assert quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert detectable(1.0, 0.95) == pytest.approx((1.959964 + 0.841621) * np.sqrt(2), abs=1e-5)
    assert detectable(0.0, 0.95) == 0


def test_infinitely_many_samples_come_out_nearer_the_truth_than_all_there_are():
    closed = distance(gaussian_of(gaussian_rows(100, 4, 0)), unit(4))
    errors = []
    for seed in range(20):
        rows = gaussian_rows(300, 6, seed, 0.4)
        truth = 6 * 0.16
        errors.append(
            (infinity(rows, np.full(300, -1), unit(6), 0) - truth, distance(gaussian_of(rows), unit(6)) - truth)
        )
    extrapolated, plain = np.array(errors).mean(axis=0)
    assert abs(extrapolated) < plain
    assert closed > 0
    with pytest.raises(DataError, match="takes more than 12 samples, twice the features, got 12"):
        infinity(gaussian_rows(12, 6, 0), np.full(12, -1), unit(6), 0)
