"""Coverage, PIT and dispersion: exact where the truth falls into every gap once, whatever the number of samples."""

import numpy as np
import pytest

from ddpm_core.metrics.calibration import COVERAGE, between, calibration, dispersion, gaps, pit_histogram
from ddpm_core.metrics.ensemble import Ensemble, Weighings
from ddpm_core.metrics.intervals import Resampling


def once_each(m: int) -> Ensemble:
    """Samples 1 to m, and m + 1 windows whose truths lie in all the gaps."""
    truth = (np.arange(m + 1) + 0.5)[:, None, None]
    samples = np.tile(np.arange(1.0, m + 1)[None, :, None, None], (m + 1, 1, 1, 1))
    return Ensemble(samples, truth, np.ones(truth.shape, dtype=bool))


@pytest.mark.parametrize("m", [2, 5, 19, 99, 100])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.37])
def test_coverage_of_a_truth_of_the_samples_own_distribution_is_the_level_itself(m: int, level: float):
    of = once_each(m)
    inside = between(gaps(of), (1 - level) / 2, (1 + level) / 2)
    assert of.ratio(inside).value == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize("m", [3, 20, 100])
def test_the_pit_histogram_of_such_a_truth_is_level(m: int):
    np.testing.assert_allclose(pit_histogram(once_each(m), 20), 1.0, atol=1e-12)


def test_a_truth_outside_of_all_samples_is_covered_by_no_interval_that_they_can_tell():
    of = Ensemble(np.zeros((1, 99, 1, 1)) + np.arange(99)[None, :, None, None], np.full((1, 1, 1), 500.0),
                  np.ones((1, 1, 1), dtype=bool))  # fmt: skip
    assert between(gaps(of), 0.05, 0.95).item() == 0.0
    assert pit_histogram(of, 10)[-1] == pytest.approx(10.0)


def test_a_truth_that_equals_all_samples_is_spread_over_the_whole_distribution():
    of = Ensemble(np.ones((1, 9, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1), dtype=bool))
    assert between(gaps(of), 0.25, 0.75).item() == pytest.approx(0.5)
    np.testing.assert_allclose(pit_histogram(of, 4), 1.0)


def test_dispersion_by_hand():
    """Samples -1 and 1 have the variance 2, and times 1 + 1/2 it is 3: the square error of their mean where y^2 = 3."""
    samples = np.array([-1.0, 1.0])[None, :, None, None]
    for square, wanted in ((3.0, 1.0), (12.0, 0.25)):
        of = Ensemble(samples, np.full((1, 1, 1), np.sqrt(square)), np.ones((1, 1, 1), dtype=bool))
        assert dispersion(of).value == pytest.approx(wanted)


@pytest.mark.parametrize("m", [2, 10, 100])
def test_dispersion_of_the_truths_own_distribution_is_one_whatever_the_number_of_samples(m: int):
    rng = np.random.default_rng(m)
    of = Ensemble(
        rng.standard_normal((3000, m, 1, 4)), rng.standard_normal((3000, 1, 4)), np.ones((3000, 1, 4), dtype=bool)
    )
    assert dispersion(of).value == pytest.approx(1.0, abs=0.06)


def test_what_does_not_count_is_neither_covered_nor_missed():
    of = once_each(9)
    counts = of.counts.copy()
    counts[5:] = False
    part = Ensemble(of.samples, np.where(counts, of.truth, np.nan), counts)
    assert pit_histogram(part, 10)[:5] == pytest.approx([2.0] * 5)
    assert dispersion(part).under[5:].sum() == 0


def test_the_metrics_are_asked_to_be_inside_about_their_level():
    found = {m.name: m for m in calibration(once_each(19), Weighings.of(np.arange(20), Resampling(20, 0, 0.95)))}
    assert list(found) == ["coverage_50", "coverage_90", "dispersion"]
    assert [metric.rule.centre for metric in found.values() if metric.rule] == [0.5, 0.9, 1.0]
    assert found["coverage_90"].value == pytest.approx(0.9)
    assert all(metric.rule and metric.rule.controls for metric in COVERAGE.values())


def test_where_the_mean_is_the_truth_there_is_no_dispersion_and_it_says_why():
    of = Ensemble(np.array([-1.0, 1.0])[None, :, None, None], np.zeros((1, 1, 1)), np.ones((1, 1, 1), dtype=bool))
    *_, last = calibration(of, Weighings.of(np.arange(1), Resampling(20, 0, 0.95)))
    assert last.value is None
    assert "truth itself" in last.left_out
