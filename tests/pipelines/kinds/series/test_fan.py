"""Fan charts: the quantiles that they show, where a fan begins and ends, and the same bytes each time."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.kinds.series.rows.fan import LEVELS, Fan, png, runs, ticks

NAN = np.nan


def forecast(n: int = 101, truth: bool = True) -> Fan:
    """Samples k/100 above a straight line, so that each quantile is its own level."""
    spread = np.linspace(0.0, 1.0, n)[:, None] + np.zeros((n, 3))
    history = np.array([0.0, 1.0, NAN, 2.0])
    return Fan.forecast("load, GW", history, spread + 2.0, np.full(3, 2.5) if truth else None, ("Monday", "Sunday"))


def test_the_fan_of_a_forecast_lies_behind_its_history_and_shows_the_quantiles() -> None:
    fan = forecast()
    np.testing.assert_array_equal(fan.told, [0.0, 1.0, NAN, 2.0, NAN, NAN, NAN])
    np.testing.assert_allclose(fan.quantiles[:, 4:], 2.0 + np.array(LEVELS)[:, None] + np.zeros(3), atol=1e-12)
    assert np.isnan(fan.quantiles[:, :4]).all()


def test_a_fan_begins_in_the_last_told_value_and_ends_in_the_next() -> None:
    samples = np.full((3, 5), NAN)
    samples[:, 2] = [0.0, 1.0, 2.0]
    fan = Fan("t", np.array([NAN, 5.0, NAN, 7.0, 8.0]), samples)
    np.testing.assert_array_equal(fan.drawn[2], [NAN, 5.0, 1.0, 7.0, NAN])
    np.testing.assert_array_equal(forecast().drawn[:, 3], np.full(5, 2.0))


def test_runs_are_the_stretches_of_true_places() -> None:
    assert runs(np.array([True, False, True, True, False])) == [(0, 1), (2, 4)]
    assert runs(np.array([False])) == []
    assert runs(np.array([True])) == [(0, 1)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 11.0, [0.0, 5.0, 10.0]),
        (4e6, 6e6, [4e6, 4.5e6, 5e6, 5.5e6, 6e6]),
    ],
)
def test_ticks_are_round_numbers_between_the_ends(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_of_any_ends_are_few_and_inside() -> None:
    draw = np.random.default_rng(0)
    for _ in range(500):
        low = draw.normal() * 10.0 ** draw.integers(-6, 7)
        high = low + 10.0 ** draw.uniform(-3, 6)
        found = ticks(low, high)
        assert 1 <= len(found) <= 6
        assert all(low - 1e-9 <= each <= high + 1e-9 for each in found)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_the_same_fans_give_the_same_bytes_and_a_grid_of_panels() -> None:
    fans = [forecast(), forecast(truth=False), forecast()]
    content = png(fans, across=2, text={"ddpm seeds": "0 to 4"})
    assert content == png(fans, across=2, text={"ddpm seeds": "0 to 4"})
    assert b"ddpm seeds" in content
    assert pixels(content).shape[1] == 2 * pixels(png(fans[:1])).shape[1]


def test_a_picture_shows_the_truth_where_it_is_known() -> None:
    orange = np.array([213, 94, 0])
    assert (pixels(png([forecast()])) == orange).all(axis=-1).any()
    assert not (pixels(png([forecast(truth=False)])) == orange).all(axis=-1).any()


@pytest.mark.parametrize(
    "fan",
    [
        Fan("nothing told", np.full(4, NAN), np.zeros((2, 4))),
        Fan("nothing sampled", np.arange(4.0), np.full((2, 4), NAN)),
        Fan("one place", np.array([NAN]), np.array([[1.0], [3.0]])),
        Fan("constant", np.full(3, 1e9), np.full((1, 3), NAN)),
    ],
    ids=lambda fan: fan.title,
)
def test_fans_at_the_ends_of_what_there_is_are_drawn(fan: Fan) -> None:
    assert (pixels(png([fan])) < 255).any()
