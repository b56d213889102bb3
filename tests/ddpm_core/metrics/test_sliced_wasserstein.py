"""The sliced Wasserstein distance: closed forms, its floor, and how often its interval is right."""

from math import pi, sqrt
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.intervals import STEP, Resampling, resampled
from ddpm_core.metrics.sliced_wasserstein import (
    RATIO,
    SLICED,
    sliced_metrics,
    sliced_replicates,
    sliced_wasserstein,
    unit_directions,
)

MANY = unit_directions(4000, 2, 0)
SOME = unit_directions(24, 2, 0)
HOW = Resampling(60, 0, 0.95)


def drawn(n: int, seed: int, dims: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dims)).astype(np.float32)


def none(n: int) -> np.ndarray:
    return np.full(n, -1)


def test_directions_are_unit_vectors_from_a_seed_and_even():
    np.testing.assert_allclose(np.linalg.norm(MANY, axis=1), 1.0)
    assert np.array_equal(MANY, unit_directions(4000, 2, 0))
    assert not np.array_equal(MANY, unit_directions(4000, 2, 1))
    np.testing.assert_allclose(MANY.T @ MANY / len(MANY), np.eye(2) / 2, atol=0.03)


def test_along_one_direction_it_is_the_mean_gap_of_sorted_values():
    a, b = drawn(50, 1), drawn(50, 2)
    wanted = np.abs(np.sort(a[:, 1].astype(float)) - np.sort(b[:, 1].astype(float))).mean()
    assert sliced_wasserstein(a, b, np.array([[0.0, 1.0]])) == pytest.approx(wanted, rel=1e-12)


def test_one_point_against_two_is_the_mean_of_both_ways():
    a, b = np.array([[0.0]], dtype=np.float32), np.array([[-1.0], [3.0]], dtype=np.float32)
    assert sliced_wasserstein(a, b, np.array([[1.0]])) == pytest.approx(2.0)


def test_equal_sets_score_nothing_in_any_order_and_however_often_repeated():
    a = drawn(40, 3)
    assert sliced_wasserstein(a, a[::-1], SOME) == pytest.approx(0.0, abs=1e-12)
    assert sliced_wasserstein(a, np.repeat(a, 3, axis=0), SOME) == pytest.approx(0.0, abs=1e-12)


def test_a_translation_costs_its_length_along_the_direction():
    """The mean of |cos| over directions of the plane is 2 / pi."""
    a, by = drawn(200, 4).astype(np.float64), np.array([3.0, -4.0])
    moved = a + by
    assert sliced_wasserstein(moved, a, MANY) == pytest.approx(np.abs(MANY @ by).mean(), rel=1e-9)
    assert sliced_wasserstein(moved, a, MANY) == pytest.approx(5.0 * 2 / pi, rel=0.02)


def test_gaussians_of_two_widths_differ_as_their_quantiles_do():
    """Along every direction W1 of N(0, s^2) and N(0, t^2) is |s - t| E|z| = |s - t| sqrt(2 / pi)."""
    rng = np.random.default_rng(5)
    a, b = 2.0 * rng.standard_normal((20_000, 3)), 0.5 * rng.standard_normal((15_000, 3))
    assert sliced_wasserstein(a, b, unit_directions(16, 3, 0)) == pytest.approx(1.5 * sqrt(2 / pi), rel=0.02)


def test_it_is_symmetric_scales_with_the_data_and_keeps_the_triangle_inequality():
    a, b, c = drawn(30, 6), drawn(45, 7) + 1, drawn(20, 8) * 2
    d = sliced_wasserstein
    assert d(a, b, SOME) == pytest.approx(d(b, a, SOME))
    assert d(3 * a, 3 * b, SOME) == pytest.approx(3 * d(a, b, SOME), rel=1e-5)
    assert d(a, c, SOME) <= d(a, b, SOME) + d(b, c, SOME)


def test_sets_that_cannot_be_compared_are_refused():
    for a, b in ((drawn(3, 0), drawn(3, 0, 3)), (drawn(0, 0), drawn(3, 0)), (np.zeros(3), np.zeros(3))):
        with pytest.raises(DataError, match="two sets of rows of equal width"):
            sliced_wasserstein(a, b, SOME)


def test_replicates_are_the_distance_of_weighted_rows():
    """Of rows that weigh 1 + STEP or 1 - STEP, by the definition: the area between both distribution functions."""
    a, b, few = drawn(20, 9), drawn(31, 10) + 0.3, SOME[:8]
    signs = resampled(20, 6, 0)
    found, value = sliced_replicates(a, b, few, signs), sliced_wasserstein(a, b, few)
    for nth, sign in enumerate(signs):
        areas = []
        for direction in few:
            x, y = a.astype(float) @ direction, b.astype(float) @ direction
            at = np.linspace(min(x.min(), y.min()), max(x.max(), y.max()), 10_001)
            F = ((1 + STEP * sign)[:, None] * (x[:, None] <= at)).mean(axis=0)
            G = (y[:, None] <= at).mean(axis=0)
            areas.append(np.abs(F - G)[:-1].sum() * (at[1] - at[0]))
        whole = value + STEP * found.linear[nth] + STEP**2 * found.curved[nth]
        assert whole == pytest.approx(np.mean(areas), abs=2e-3)


def test_of_sets_apart_only_the_linear_part_is_left():
    """Where every row of a lies below b, the distance is the difference of means, linear in the weights."""
    a, b = drawn(20, 11)[:, :1] - 50, drawn(20, 12)[:, :1] + 50
    signs = resampled(20, 8, 1)
    found = sliced_replicates(a, b, np.array([[1.0]]), signs)
    np.testing.assert_allclose(found.curved, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.linear, -(signs @ a[:, 0]) / 20, atol=1e-5)


def measured(samples: np.ndarray, how: Resampling = HOW, unseen: Any = None, training: Any = None) -> dict[str, Any]:
    unseen = drawn(300, 1000) if unseen is None else unseen
    rows = drawn(900, 1001) if training is None else training
    found = sliced_metrics(samples, none(len(samples)), unseen, (rows, none(len(rows))), SOME, 3, how)
    return {metric.name: metric for metric in found}


def test_real_data_score_about_their_floor_and_others_many_times_it():
    real, moved = measured(drawn(300, 13)), measured(drawn(300, 13) + 1)
    assert 0.5 < real[RATIO.name].value < 1.8
    assert moved[RATIO.name].value > 4
    assert moved[SLICED.name].value == pytest.approx(moved[RATIO.name].value * moved[SLICED.floor].value)


def test_more_samples_than_training_data_are_held_against_the_floor_in_equal_number():
    few = measured(drawn(300, 14), training=drawn(100, 15))
    of_first = measured(drawn(300, 14)[:100], training=drawn(100, 15))
    assert few[RATIO.name].value == pytest.approx(of_first[RATIO.name].value)
    assert few[SLICED.name].value != of_first[SLICED.name].value


def test_splits_that_are_the_same_data_leave_the_ratio_out_and_say_why():
    same = drawn(60, 16)
    ratio = measured(drawn(60, 17), unseen=same, training=same)[RATIO.name]
    assert ratio.value is None
    assert "same" in ratio.left_out


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_spread_of_replicates_is_that_of_many_draws(shift: float):
    """Of the ratio over draws of the samples, unseen data fixed; within a factor, for it is an estimate of one draw."""
    unseen, training = drawn(300, 18), drawn(900, 19)
    found = [measured(drawn(300, seed) + shift, unseen=unseen, training=training)[RATIO.name] for seed in range(30)]
    true = float(np.std([each.value for each in found], ddof=1))
    told = float(np.median([each.replicates.spread for each in found]))
    assert 0.6 * true < told < 1.8 * true
