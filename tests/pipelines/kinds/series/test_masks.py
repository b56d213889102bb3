"""Laws of the masks of training windows: what is hidden, what the network is told, what the loss counts."""

from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.spec import DataSpec
from pipelines.kinds.series.training import masks
from pipelines.kinds.series.training.masks import (
    BlockMask,
    ForecastMask,
    MaskConfig,
    PatternMask,
    RandomMask,
    masked,
    told_of,
)

B, K, W = 40, 3, 12
STRATEGIES = ("random", "block", "forecast", "pattern")


def config(**shares: float) -> MaskConfig:
    share = dict.fromkeys(STRATEGIES, 0.0) | shares
    return MaskConfig(
        RandomMask(share["random"], 0.2, 0.8),
        BlockMask(share["block"], 2, 5),
        ForecastMask(share["forecast"], 3, 4),
        PatternMask(share["pattern"]),
    )


MIXED = config(random=0.4, block=0.2, forecast=0.2, pattern=0.2)


def batch(gaps: float = 0.2) -> dict[str, Any]:
    """Windows with gaps, in which nothing but `present` may say what is there."""
    random = np.random.default_rng(0)
    present = (random.random((B, K, W)) >= gaps).astype(np.uint8)
    x = random.standard_normal((B, K, W)).astype(np.float32) * present
    return {"x": x, "observed": x / 2, "told": present.astype(np.float32), "present": present, "label": np.arange(B)}


def told(of: MaskConfig, present: Any, seed: int = 1, step: int = 5, rows: slice = slice(None)) -> Any:
    return told_of(of, present.astype(bool), seed, step, rows)


@pytest.mark.parametrize("of", [MIXED, *(config(**{name: 1.0}) for name in STRATEGIES)])
def test_told_and_asked_share_what_is_present_and_a_gap_is_neither(of: MaskConfig) -> None:
    arrays = batch()
    out = masked(of, arrays, seed=1, step=5)
    present = arrays["present"] > 0
    given, asked = out["told"] == 1, out["told"] == 0
    assert ((given | asked) == present).all()
    assert (out["told"][~present] == -1).all()
    assert (out["present"].astype(bool) == asked).all()
    assert asked.any(axis=(1, 2)).all()
    assert out["present"].dtype == np.uint8
    assert out["told"].dtype == out["observed"].dtype == np.float32
    assert (out["observed"] == np.where(given, arrays["observed"], 0)).all()
    assert (out["x"] == arrays["x"]).all()
    assert (out["label"] == arrays["label"]).all()


def test_the_arrays_that_came_are_left_as_they_were() -> None:
    arrays, same = batch(), batch()
    masked(MIXED, arrays, seed=1, step=5)
    assert all((arrays[name] == same[name]).all() for name in same)


def test_a_number_under_a_hidden_value_or_a_gap_is_dropped_whatever_it_is() -> None:
    arrays = batch()
    clean = masked(MIXED, arrays, seed=1, step=5)
    arrays["observed"] = np.where(clean["told"] == 1, arrays["observed"], np.float32(np.nan))
    assert np.array_equal(masked(MIXED, arrays, seed=1, step=5)["observed"], clean["observed"])


def test_a_mask_is_a_function_of_seed_step_and_place() -> None:
    present = batch()["present"]
    whole = told(MIXED, present)
    assert (told(MIXED, present) == whole).all()
    for rows in (slice(0, 10), slice(10, 40), slice(39, 40), slice(40, 40)):
        assert np.array_equal(told(MIXED, present, rows=rows), whole[rows])
    alone = config(random=0.5, block=0.3, forecast=0.2)
    assert (told(alone, present)[:7] == told(alone, present[:7])).all()  # the batch's size does not matter
    for seed, step in ((2, 5), (1, 6), (1, masks.HELD_OUT)):
        assert (told(MIXED, present, seed, step) != whole).any()


def test_random_hides_every_share_between_its_bounds() -> None:
    present = np.ones((2000, K, W))
    shares = 1 - told(config(random=1.0), present).mean(axis=(1, 2))
    assert shares.min() >= 0.2 - 0.5 / (K * W)
    assert shares.max() <= 0.8 + 0.5 / (K * W)
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.std() - 0.6 / 12**0.5) < 0.02


def test_random_counts_the_values_that_are_there() -> None:
    present = batch(gaps=0.5)["present"]
    hidden = (present > 0) & ~told(MaskConfig(RandomMask(1.0, 0.5, 0.5), *_others(config(random=1.0))), present)
    assert (np.abs(hidden.sum(axis=(1, 2)) - present.sum(axis=(1, 2)) / 2) <= 0.5).all()


def _others(of: MaskConfig) -> tuple[Any, ...]:
    return of.block, of.forecast, of.pattern


def test_a_block_is_one_stretch_of_some_columns_anywhere() -> None:
    hidden = ~told(config(block=1.0), np.ones((600, K, W)))
    columns, steps = hidden.any(axis=2), hidden.any(axis=1)
    assert (hidden == columns[:, :, None] & steps[:, None, :]).all()
    first, last = steps.argmax(axis=1), W - 1 - steps[:, ::-1].argmax(axis=1)
    assert (last - first + 1 == steps.sum(axis=1)).all()
    assert set(steps.sum(axis=1)) == {2, 3, 4, 5}
    assert first.min() == 0
    assert last.max() == W - 1
    assert set(columns.sum(axis=1)) == {1, 2, 3}
    assert (columns.mean(axis=0) > 0.5).all()


def test_forecast_hides_the_last_steps_of_every_column() -> None:
    hidden = ~told(config(forecast=1.0), np.ones((100, K, W)))
    lengths = hidden.sum(axis=(1, 2)) // K
    assert set(lengths) == {3, 4}
    assert all((row == (np.arange(W) >= W - length)).all() for row, length in zip(hidden, lengths, strict=True))


def test_a_pattern_is_that_of_another_window_of_the_batch() -> None:
    present = batch()["present"][:6] > 0
    for step in range(20):
        for place, row in enumerate(told(config(pattern=1.0), present, step=step)):
            others = [other for other in range(6) if (row == present[place] & present[other]).all()]
            assert others
            assert place not in others


@pytest.mark.parametrize("size", [1, 5])
def test_a_window_from_which_a_strategy_takes_nothing_gets_a_random_mask(size: int) -> None:
    hidden = ~told(config(pattern=1.0), np.ones((size, K, W)))
    assert ((hidden.mean(axis=(1, 2)) >= 0.15) & (hidden.mean(axis=(1, 2)) <= 0.85)).all()


def test_a_window_without_values_tells_and_asks_nothing() -> None:
    arrays = batch(gaps=1.0)
    out = masked(MIXED, arrays, seed=1, step=5)
    assert (out["told"] == -1).all()
    assert not out["present"].any()


def test_each_strategy_has_its_share_of_the_windows() -> None:
    """Only a block of this configuration leaves a column whole while it hides two steps or more of another."""
    hidden = ~told(config(block=0.3, forecast=0.7), np.ones((3000, K, W)))
    forecast = hidden[:, :, -3:].all(axis=(1, 2)) & (hidden.sum(axis=(1, 2)) <= 4 * K)
    assert abs(forecast.mean() - 0.7) < 0.03


def test_what_cannot_be_drawn_is_refused_by_name() -> None:
    with pytest.raises(ParamsError, match=r"shares must add up to 1, got 0.9"):
        config(random=0.9)
    with pytest.raises(ParamsError, match=r"least=3, most=2"):
        BlockMask(1.0, 3, 2)
    with pytest.raises(ParamsError, match=r"most: must be between 0 and 1, got 1.5"):
        RandomMask(1.0, 0.0, 1.5)
    spec = DataSpec((K, 4), None, None, {})
    config(random=1.0).check(spec)
    with pytest.raises(ParamsError, match=r"train.augment.masks.block.most: .* at most 4 .* got 5"):
        config(block=1.0).check(spec)
    with pytest.raises(ParamsError, match=r"train.augment.masks.forecast.most: .* at most 3 .* got 4"):
        config(forecast=1.0).check(spec)
