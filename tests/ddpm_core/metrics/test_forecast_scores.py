"""The scores of forecasts: closed forms, definitions worked out the long way, and small cases by hand."""

from math import erf, exp, pi, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.crps import SKILL, fair_crps, mean_crps, skill_against
from ddpm_core.metrics.energy_score import energy_score, mean_energy_score
from ddpm_core.metrics.ensemble import Ensemble, Ratio, Weighings
from ddpm_core.metrics.intervals import STEP, Resampling
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.point_errors import point_errors
from ddpm_core.metrics.quantile_loss import quantile_losses, scaled, weighted

HOW = Resampling(40, 0, 0.95)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def one(samples: Any, truth: Any) -> Ensemble:
    """One column of one window: samples [m, steps], truth [steps]."""
    samples, truth = np.asarray(samples, dtype=float), np.asarray(truth, dtype=float)
    return Ensemble(samples[None, :, None, :], truth[None, None], np.ones((1, 1, len(truth)), dtype=bool))


# ---- CRPS


def test_it_is_the_mean_distance_to_the_truth_less_half_of_that_between_different_samples():
    x, y = drawn(7), 0.4
    pairs = [abs(a - b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    wanted = np.abs(x - y).mean() - np.mean(pairs) / 2
    assert fair_crps(np.sort(x), np.array(y)) == pytest.approx(wanted, rel=1e-12)


def gaussian(y: float) -> float:
    """Of a standard normal forecast (Gneiting and Raftery 2007, eq. 21)."""
    return y * erf(y / sqrt(2)) + 2 * exp(-y * y / 2) / sqrt(2 * pi) - 1 / sqrt(pi)


@pytest.mark.parametrize("y", [-2.0, 0.0, 0.7])
def test_of_a_gaussian_forecast_it_is_the_closed_form(y: float):
    levels = (np.arange(20_000) + 0.5) / 20_000
    x = np.array([NormalDist().inv_cdf(level) for level in levels])
    assert fair_crps(x, np.array(y)) == pytest.approx(gaussian(y), abs=2e-4)


@pytest.mark.parametrize("m", [2, 5, 100])
def test_its_mean_does_not_depend_on_the_number_of_samples(m: int):
    """Of the truth's own distribution it is 1 / sqrt(pi); samples counted among their own pairs add 1 / m to that."""
    found = fair_crps(np.sort(drawn(40_000, m, seed=m), axis=-1), drawn(40_000, seed=1))
    assert found.mean() == pytest.approx(1 / sqrt(pi), abs=4 * found.std() / 200)


def test_without_spread_it_is_the_absolute_error():
    assert fair_crps(np.full(5, 2.0), np.array(-1.0)) == pytest.approx(3.0)


# ---- energy score


def test_of_one_value_the_energy_score_is_the_crps():
    x = drawn(9)
    assert energy_score(x[:, None], np.array([0.3])) == pytest.approx(float(fair_crps(np.sort(x), np.array(0.3))))


def test_the_energy_score_is_its_definition():
    x, y = drawn(6, 4), drawn(4, seed=1)
    to = np.mean([np.linalg.norm(a - y) for a in x])
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    assert energy_score(x, y) == pytest.approx((to - np.mean(pairs) / 2) / 2, rel=1e-12)  # sqrt of 4 values


def test_it_sees_a_wrong_correlation_which_the_crps_does_not():
    windows, m, mix = 400, 40, np.array([[1.0, 0.0], [0.95, sqrt(1 - 0.95**2)]])
    truth = np.einsum("kj,wj->wk", mix, drawn(windows, 2, seed=1))[:, :, None]
    right = np.einsum("kj,wmj->wmk", mix, drawn(windows, m, 2, seed=2))[..., None]
    wrong = drawn(windows, m, 2, seed=3)[..., None]
    ends = [Ensemble(samples, truth, np.ones(truth.shape, dtype=bool)) for samples in (right, wrong)]
    assert mean_crps(ends[1]).value == pytest.approx(mean_crps(ends[0]).value, rel=0.03)
    assert mean_energy_score(ends[1]).value > 1.04 * mean_energy_score(ends[0]).value


# ---- quantile losses and errors of a point


def test_quantile_losses_of_a_small_case_by_hand():
    """Samples 0 to 10 have the quantile 10 q at level q, which at 0.1 is 3 below a truth of 4."""
    of = one(np.tile(np.arange(11.0)[:, None], 2), [4.0, 12.0])
    first = [2 * q * (4 - 10 * q) if 10 * q < 4 else 2 * (1 - q) * (10 * q - 4) for q in np.arange(1, 10) / 10]
    second = [2 * q * (12 - 10 * q) for q in np.arange(1, 10) / 10]
    losses = quantile_losses(of)
    assert first[0] == pytest.approx(0.6)
    assert first[-1] == pytest.approx(1.0)
    np.testing.assert_allclose(losses[0, 0], [np.mean(first), np.mean(second)], rtol=1e-12)
    # in a unit with the mean 100 and the standard deviation 2 the truths are 108 and 124
    (ratio,) = weighted(of, losses, np.array([[100.0]]), np.array([[2.0]])).values()
    assert ratio.value == pytest.approx(2 * (np.mean(first) + np.mean(second)) / (108 + 124))
    (in_errors,) = scaled(of, losses, np.array([[0.5]])).values()
    assert in_errors.value == pytest.approx(2 * losses[0, 0].mean())


def test_of_the_median_alone_the_weighted_loss_is_the_absolute_error_over_the_sum():
    of = one(drawn(21, 6), drawn(6, seed=1))
    median = np.median(of.samples[0, :, 0], axis=0)
    (ratio,) = weighted(of, quantile_losses(of, (0.5,)), np.zeros((1, 1)), np.ones((1, 1))).values()
    assert ratio.value == pytest.approx(np.abs(of.truth[0, 0] - median).sum() / np.abs(of.truth).sum())


def test_a_column_of_noughts_or_without_a_seasonal_error_is_left_out():
    of = Ensemble(drawn(3, 5, 2, 4), np.zeros((3, 2, 4)), np.ones((3, 2, 4), dtype=bool))
    losses = quantile_losses(of)
    assert list(weighted(of, losses, np.tile([0.0, 1.0], (3, 1)), np.ones((3, 2)))) == ["1"]
    assert list(scaled(of, losses, np.tile([[0.0, 2.0]], (3, 1)))) == ["1"]


def test_point_errors_are_those_of_median_and_mean():
    of = one([[0.0], [1.0], [5.0]], [4.0])  # median 1, mean 2
    found = {each.name: each.value for each in point_errors(of, np.array([[2.0]]), Weighings.of(np.zeros(1), HOW))}
    assert found == {"mae_median": 3.0, "rmse_median": 3.0, "mae_mean": 2.0, "rmse_mean": 2.0, "mase": 1.5}


# ---- what does not count, and intervals


def test_a_value_that_does_not_count_changes_no_bit_whatever_it_is():
    samples, truth = drawn(6, 10, 2, 5), drawn(6, 2, 5, seed=1)
    counts = np.random.default_rng(2).random(truth.shape) < 0.7

    def all_of(other: float) -> list[Any]:
        of = Ensemble(
            np.where(counts[:, None], samples, 1e6 if np.isnan(other) else other),
            np.where(counts, truth, other),
            counts,
        )
        weighings, ones = Weighings.of(np.arange(6), HOW), np.ones((6, 2))
        losses = quantile_losses(of)
        ratios = [mean_crps(of), mean_energy_score(of), *weighted(of, losses, ones, ones).values()]
        return [ratio.value for ratio in ratios] + [each.value for each in point_errors(of, ones, weighings)]

    assert all_of(0.0) == all_of(-3e5) == all_of(float("nan"))


def test_a_window_in_which_nothing_counts_has_no_part_in_the_energy_score():
    of = Ensemble(drawn(2, 5, 1, 3), drawn(2, 1, 3, seed=1), np.array([[[True] * 3], [[False] * 3]]))
    assert mean_energy_score(of).value == pytest.approx(energy_score(of.samples[0, :, 0], of.truth[0, 0]))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"\(3, 5, 1, 2\)"):
        Ensemble(drawn(3, 5, 1, 2), drawn(3, 1, 4), np.ones((3, 1, 4), dtype=bool))
    with pytest.raises(DataError, match="at least 2 samples"):
        Ensemble(drawn(3, 1, 1, 2), drawn(3, 1, 2), np.ones((3, 1, 2), dtype=bool))


def test_the_replicates_of_a_ratio_are_its_derivative_by_the_weights():
    ratio, signs = Ratio(drawn(30) ** 2, 1 + drawn(30, seed=1) ** 2), Weighings.of(np.arange(30), HOW).signs
    small = 1e-6
    weights = 1 + small * signs
    moved = (weights @ ratio.over) / (weights @ ratio.under)
    np.testing.assert_allclose(ratio.replicates(signs).linear, (moved - ratio.value) / small, atol=1e-5)
    assert STEP < 1


def test_windows_of_a_block_are_weighed_alike():
    signs = Weighings.of(np.array([4, 4, 9, 9, 1, 1]), HOW).signs
    np.testing.assert_array_equal(signs[:, ::2], signs[:, 1::2])
    assert (signs[:, 0] != signs[:, 2]).any()


def test_blocks_make_an_interval_as_wide_as_the_blocks_alone_would():
    """Every value there four times is no more evidence than once."""
    values = drawn(50)
    metric = Metric("crps", "")
    one_each = Weighings.of(np.arange(50), HOW).measured(metric, Ratio(values, np.ones(50)))
    four = Weighings.of(np.repeat(np.arange(50), 4), HOW).measured(metric, Ratio(np.repeat(values, 4), np.ones(200)))
    assert one_each.interval is not None
    assert four.interval is not None
    assert four.interval.low == pytest.approx(one_each.interval.low, rel=1e-9)
    assert four.interval.high == pytest.approx(one_each.interval.high, rel=1e-9)


def test_a_root_and_a_mean_of_ratios_have_the_intervals_of_their_derivatives():
    weighings, ratio = Weighings.of(np.arange(40), HOW), Ratio(drawn(40) ** 2, np.ones(40))
    plain, root = (make(Metric("a", ""), ratio) for make in (weighings.measured, weighings.root))
    assert plain.replicates is not None
    assert root.replicates is not None
    assert root.value is not None
    np.testing.assert_allclose(root.replicates.linear, plain.replicates.linear / (2 * root.value))
    mean = weighings.mean(Metric("a", ""), {"0": ratio, "1": Ratio(3 * ratio.over, ratio.under)})
    assert mean.value == pytest.approx(2 * ratio.value)


@pytest.mark.parametrize(
    ("value", "words"), [(0.2, "better than the best baseline (naive)"), (-0.2, "not better than")]
)
def test_the_words_of_the_skill_say_on_which_side_of_the_baseline_it_is(value: float, words: str):
    rule = skill_against("naive", value, "forecasts", "forecasts well").rule
    assert rule is not None
    assert SKILL.rule is not None
    assert rule.words.startswith(words)
    assert (rule.asks, rule.limit) == ("forecasts well", SKILL.rule.limit)
