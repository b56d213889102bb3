"""Times, grids and calendars: offsets, clocks put forward and back, months, leap years."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_core.errors import DataError
from pipelines.kinds.series.rows.calendar import feature_names, features
from pipelines.kinds.series.rows.frequency import Frequency
from pipelines.kinds.series.rows.times import local, moments, parse_time, text_of, zone_of

BERLIN = zone_of("Europe/Berlin")


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[s]")


def test_a_time_is_iso_or_of_a_pattern_and_of_whole_seconds() -> None:
    assert parse_time("2024-02-29 13:05", None) == datetime(2024, 2, 29, 13, 5)
    assert parse_time("29.02.2024 13:05", "%d.%m.%Y %H:%M") == datetime(2024, 2, 29, 13, 5)
    for text in ("2023-02-29", "yesterday", "2024-01-01T00:00:00.5"):
        with pytest.raises(DataError, match=text[:10]):
            parse_time(text, None)


def test_times_with_an_offset_are_moments_whatever_the_offset() -> None:
    texts = ("2024-01-01T12:00:00+00:00", "2024-01-01T13:00:00+01:00", "2024-01-01T06:30:00-05:30")
    found, faults = moments([parse_time(text, None) for text in texts], None)
    assert (found == days("2024-01-01T12:00:00")).all()
    assert faults == ["", "", ""]


def test_an_hour_shown_twice_is_summers_first_and_one_left_out_is_none() -> None:
    texts = ("2024-10-27T01:00", "2024-10-27T02:00", "2024-10-27T02:00", "2024-10-27T03:00", "2024-03-31T02:30")
    found, faults = moments([datetime.fromisoformat(text) for text in texts], BERLIN)
    assert (found[:4] == days("2024-10-26T23", "2024-10-27T00", "2024-10-27T01", "2024-10-27T02")).all()
    assert np.isnat(found[4])
    assert "2024-03-31 02:30:00" in faults[4]
    assert faults[:4] == [""] * 4


@given(st.integers(-(10**8), 4 * 10**9), st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]))
def test_local_is_what_the_zone_shows(second: int, name: str) -> None:
    zone = zone_of(name)
    assert zone is not None
    shown = datetime.fromtimestamp(second, UTC).astimezone(zone).replace(tzinfo=None)
    assert local(np.array([second], dtype="datetime64[s]"), zone)[0] == np.datetime64(shown.isoformat(), "s")


@given(st.integers(1, 500), st.sampled_from(["s", "min", "h", "D", "W", "M", "Q", "Y"]), st.integers(-400, 400))
def test_a_step_has_its_time_and_a_time_its_step(number: int, unit: str, first: int) -> None:
    step = Frequency.of(f"{number}{unit}")
    assert Frequency.of(step.text) == step
    wanted = np.arange(first, first + 4)
    if step.months and number > 100:
        return  # centuries from 1970 on are beyond datetime's years
    times = step.times(wanted, phase=0)
    found, on, phase = step.steps(times)
    assert (found == wanted).all()
    assert on.all()
    assert phase == 0


def test_months_have_a_step_of_one_whatever_their_length() -> None:
    ends = days("2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31")
    step = Frequency.between(ends)
    assert step is not None
    assert step.text == "M"
    assert (np.diff(step.steps(ends)[0]) == 1).all()


def test_the_commonest_step_is_taken_and_what_lies_off_its_grid_is_known() -> None:
    times = days("2024-01-01T00:10", "2024-01-01T00:40", "2024-01-01T01:10", "2024-01-01T01:33", "2024-01-01T02:10")
    step = Frequency.between(times)
    assert step is not None
    assert step.text == "30min"
    found, on, phase = step.steps(times)
    assert on.tolist() == [True, True, True, False, True]
    assert (step.times(found[on], phase) == times[on]).all()
    assert Frequency.between(times[:1]) is None


def test_calendar_features_close_their_turns() -> None:
    rows = feature_names(["hour_of_day", "day_of_week", "day_of_year", "weekend"])
    assert rows == [
        *("hour_of_day_sin", "hour_of_day_cos", "day_of_week_sin", "day_of_week_cos"),
        *("day_of_year_sin", "day_of_year_cos", "weekend"),
    ]
    # A Saturday noon that is the 60th of 366 days in, a Sunday, a Monday midnight that begins a year.
    times = days("2020-02-29T12:00", "2020-03-01T06:00", "2018-01-01T00:00")
    sat, sun, mon = (2 * np.pi * turn for turn in (5 / 7, 6 / 7, 0.0))
    leap, march = (2 * np.pi * day / 366 for day in (59, 60))
    wanted = [
        *([0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]),
        *([np.sin(day) for day in (sat, sun, mon)], [np.cos(day) for day in (sat, sun, mon)]),
        *([np.sin(leap), np.sin(march), 0.0], [np.cos(leap), np.cos(march), 1.0]),
        [1.0, 1.0, -1.0],
    ]
    np.testing.assert_allclose(features(times, rows), wanted, atol=1e-6)


def test_the_last_day_of_every_year_is_as_far_from_the_next_as_any_day() -> None:
    for year in (2023, 2024):
        ends = days(f"{year}-12-30", f"{year}-12-31", f"{year + 1}-01-01")
        sin, cos = features(ends, ["day_of_year_sin", "day_of_year_cos"])
        steps = np.hypot(np.diff(sin), np.diff(cos))
        np.testing.assert_allclose(steps[0], steps[1], rtol=1e-3)


def test_no_feature_has_the_shape_of_none() -> None:
    assert features(days("2024-01-01", "2024-01-02"), []).shape == (0, 2)


def test_a_time_as_text_reads_back() -> None:
    for seconds in (0, 61, 86_400):
        time = np.datetime64("2024-01-01", "s") + np.timedelta64(timedelta(seconds=seconds))
        assert np.datetime64(text_of(time), "s") == time
