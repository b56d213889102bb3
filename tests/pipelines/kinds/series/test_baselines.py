"""Baselines by hand, their spread on training windows, and what none of them may look at."""

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.kinds.series.reference.baselines import (
    ByDistance,
    Climatology,
    Paths,
    by_distance,
    distances,
    last_value,
    linear,
    paths,
    season_of,
    seasonal,
    seasonal_errors,
)
from pipelines.kinds.series.reference.build import BASELINES, baselines, of_windows
from pipelines.kinds.series.reference.config import ReferenceConfig
from pipelines.kinds.series.reference.windows import Windows, blocks, time_of
from tests.support.ar_series import FORECAST, HISTORY, HORIZON, IMPUTE, PHI, split

NAN = float("nan")


def windows(told: Any, truth: Any = None, calendar: Any = None) -> Windows:
    """One column of one window."""
    told = np.array(told, dtype=float)[None, None]
    truth = np.zeros((1, 1, 3)) if truth is None else np.array(truth, dtype=float)[None, None]
    return Windows(told, truth, np.zeros((1, 0, truth.shape[2])), np.zeros(1, dtype=np.int64))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("point", "told", "wanted"),
    [
        (last_value, [1, 2, NAN, NAN, NAN, NAN], [2, 2, 2]),
        (last_value, [NAN, NAN, NAN, NAN, NAN, NAN], [0, 0, 0]),
        (last_value, [NAN, 5, NAN], [5, 5, 5]),
        (seasonal(2), [7, 1, 2, NAN, NAN, NAN], [1, 2, 1]),
        (seasonal(2), [7, 1, NAN, NAN, NAN, NAN], [1, 7, 1]),
        (seasonal(3), [NAN, 1, 4, NAN, NAN, NAN], [4, 1, 4]),
        (linear, [1, NAN, 5], [1, 3, 5]),
        (linear, [NAN, 4, NAN], [4, 4, 4]),
        (linear, [NAN, NAN, NAN], [0, 0, 0]),
        (linear, [0, NAN, NAN, 6], [2, 4, 6]),
    ],
)
def test_one_number_for_each_value(point: Any, told: Any, wanted: Any):
    np.testing.assert_allclose(point(windows(told))[0, 0], wanted)


def test_distances_are_to_the_nearest_told_value_and_of_a_forecast_its_steps():
    assert distances(windows([1, NAN, NAN, NAN, 1], np.zeros(5)))[0, 0].tolist() == [0, 1, 2, 1, 0]
    assert distances(windows([3, 1, NAN, NAN, NAN]))[0, 0].tolist() == [1, 2, 3]


def test_what_was_not_told_is_nan_whatever_the_arrays_hold_there():
    """A hidden value must reach neither a baseline nor a control."""
    test, _ = split(FORECAST, 5, 0)
    changed = {name: array.copy() for name, array in test.arrays.items()}
    changed["history"][changed["seen"] == 0] = 1e9
    changed["x"][changed["present"] == 0] = -1e9
    for name in ("told", "truth"):
        ends = [getattr(Windows.of(replace(test, arrays=of), FORECAST), name) for of in (test.arrays, changed)]
        np.testing.assert_array_equal(*ends)


def test_no_baseline_looks_at_the_truth():
    train, test = (Windows.of(split(FORECAST, n, seed)[0], FORECAST) for n, seed in ((60, 0), (10, 1)))
    blind = replace(test, truth=np.full(test.truth.shape, np.nan))
    for baseline in (Paths(last_value, *paths(last_value, train, rng())), Climatology(train)):
        np.testing.assert_array_equal(*(baseline.samples(of, 8, rng()) for of in (test, blind)))
    holes = Windows.of(split(IMPUTE, 40, 0)[0], IMPUTE)
    filled = ByDistance(linear, by_distance(linear, holes, rng()))
    some = replace(holes, truth=np.full(holes.truth.shape, np.nan))
    np.testing.assert_array_equal(*(filled.samples(of, 8, rng()) for of in (holes, some)))


def test_the_spread_of_the_last_value_grows_as_it_does_in_the_data():
    """Of an AR(1) of variance 1 the error of the last value has the variance 2 (1 - phi^h)."""
    train = Windows.of(split(FORECAST, 400, 0)[0], FORECAST)
    errors, _ = paths(last_value, train, rng())
    steps = np.arange(1, HORIZON + 1)
    np.testing.assert_allclose(errors.var(axis=(0, 1)), 2 * (1 - PHI**steps), rtol=0.2)


def test_the_spread_beside_a_told_value_is_smaller_than_far_from_it():
    train = Windows.of(split(IMPUTE, 300, 0)[0], IMPUTE)
    table = by_distance(linear, train, rng())
    widths = table[:, :, -10] - table[:, :, 9]
    assert (widths[:, 0] < 0.8 * widths[:, 4]).all()
    samples = ByDistance(linear, table).samples(windows([1, NAN, 5], np.zeros(3)), 9, rng())
    assert samples.shape == (1, 9, 1, 3)


def test_climatology_is_training_windows_of_the_same_time_of_day():
    train, whole = split(FORECAST, 300, 0)
    of = Windows.of(train, FORECAST)
    kept = replace(of, truth=whole[:, :, HISTORY:], calendar=of.calendar)
    found = Climatology(kept).samples(kept.rows(np.array([7])), 50, rng())[0]
    same = np.flatnonzero(np.arange(300) % 3 == 7 % 3)  # three windows of eight hours a day
    assert all(any((row == kept.truth[each]).all() for each in same) for row in found)


def test_a_series_gets_the_errors_of_its_own():
    train = Windows.of(split(FORECAST, 40, 0)[0], FORECAST)
    label = np.arange(40) % 2
    two = replace(train, label=label, truth=train.truth * np.array([0.01, 1.0])[label, None, None])
    both = Paths(_zero, *paths(_zero, two, rng())).samples(two.rows(np.array([0, 1])), 200, rng())
    assert 20 * both[0].std() < both[1].std()


def _zero(of: Windows) -> np.ndarray:
    return np.zeros(of.truth.shape)


def test_the_season_is_the_one_that_fits_the_training_part_best_and_can_be_chosen():
    train = Windows.of(split(FORECAST, 50, 0)[0], FORECAST)
    wave = np.cos(2 * np.pi * np.arange(200) / 24)
    told = np.stack([np.r_[wave[at : at + 40], np.full(8, NAN)] for at in range(20)])[:, None]
    truth = np.stack([wave[at + 40 : at + 48] for at in range(20)])[:, None]
    daily = Windows(told, truth, np.zeros((20, 0, 8)), np.zeros(20, dtype=np.int64))
    assert season_of(daily, FORECAST, "auto") == 24
    assert seasonal_errors(daily, 24, 1)[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert season_of(train, FORECAST, 5) == 5
    yearly = replace(FORECAST, about={**FORECAST.about, "frequency": "Y"})
    assert season_of(train, yearly, "auto") == 1


def test_seasonal_errors_by_hand_and_of_a_series_without_any_those_of_all():
    of = windows([1, 2, NAN, NAN], [4, 9])
    np.testing.assert_allclose(seasonal_errors(of, 1, 2), [[(1 + 2 + 5) / 3]] * 2)
    np.testing.assert_allclose(seasonal_errors(of, 2, 1), [[(3 + 7) / 2]])


@pytest.mark.parametrize("spec", [FORECAST, IMPUTE])
def test_what_stage_reference_writes_gives_the_same_baselines_again_byte_for_byte(spec: Any):
    train = Windows.of(split(spec, 60, 0)[0], spec)
    first, again = (of_windows(train, spec, ReferenceConfig("auto", 3)) for _ in range(2))
    assert first == again
    reference: Any = SimpleNamespace(content=first[0], files=first[1])
    found = baselines(reference, train, spec)
    names = ["linear"] if spec is IMPUTE else ["last value", "seasonal naive"]
    assert list(found) == [*names, "climatology"]
    with np.load(io.BytesIO(first[1][BASELINES])) as kept:
        assert all(np.isfinite(kept[name]).all() for name in kept.files)
    for baseline in found.values():
        samples = baseline.samples(train.rows(np.arange(4)), 6, rng())
        assert samples.shape == (4, 6, *spec.shape)
        assert np.isfinite(samples).all()


def test_blocks_are_stretches_of_time_and_places_have_times():
    keys = [f"202001{day:02}T{hour:02}0000-ff" for day, hour in ((1, 0), (1, 3), (1, 7), (1, 8), (1, 16), (2, 0))]
    assert blocks(keys, FORECAST).tolist() == [0, 0, 0, 1, 2, 3]
    assert time_of(keys[0], 0, FORECAST) == "2020-01-01"
    assert time_of(keys[0], HISTORY + 3, FORECAST) == "2020-01-02 03:00"
