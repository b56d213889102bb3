"""Distances between data sets: 0 for equal ones, known answers, intervals that hold them, no alarm by chance."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.validation.compare import compare, farthest, feature_distance, incomparable
from pipelines.validation.summary import DataSummary

RNG = np.random.Generator(np.random.Philox(key=[8, 8]))
STEPS = np.linspace(0, 1, 257)


def summary(n: int = 1000, shift: float = 0.0, **changes: Any) -> DataSummary:
    """n data of one number and of eight features, all normal."""
    values = np.quantile(RNG.standard_normal(n) + shift, STEPS, method="inverted_cdf")
    features = (RNG.standard_normal((min(n, 500), 8)) + shift).astype(np.float32)
    made = DataSummary("pictures", (1, 8, 8), n, {"cat": n // 2, "dog": n - n // 2}, {"brightness": values}, features)
    return replace(made, **changes)


def distances(a: DataSummary, b: DataSummary) -> dict[str, tuple[float, float, float]]:
    return {each.name: (each.value, each.interval.low, each.interval.high) for each in compare(a, b)}


def test_a_data_set_is_at_no_distance_from_itself() -> None:
    made = summary()
    found = distances(made, made)
    assert list(found) == ["number of examples", "label shares", "brightness", "features"]
    assert all(value == pytest.approx(0, abs=1e-9) and low == 0 for value, low, _ in found.values())


def test_the_number_counts_only_where_it_shrinks() -> None:
    assert distances(summary(1000), summary(250))["number of examples"] == (0.75, 0.75, 0.75)
    assert distances(summary(250), summary(1000))["number of examples"] == (0.0, 0.0, 0.0)


def test_label_shares_by_their_total_variation() -> None:
    before = summary(100_000, labels={"cat": 50_000, "dog": 50_000})
    after = summary(100_000, labels={"cat": 75_000, "fox": 25_000})
    value, low, high = distances(before, after)["label shares"]
    assert value == pytest.approx(0.5)  # 25 % more cats, 25 % foxes where there were none, 50 % fewer dogs
    assert 0.48 < low < 0.5 < high < 0.52


def test_data_without_labels_have_no_label_shares_and_data_that_lost_some_do() -> None:
    bare = summary(labels={})
    assert "label shares" not in distances(bare, bare)
    assert distances(summary(), bare)["label shares"][0] == pytest.approx(1.0)


def test_values_by_the_largest_gap_of_their_distributions() -> None:
    spread = {"brightness": np.linspace(0, 1, 257)}
    moved = {"brightness": np.linspace(0, 1, 257) + 0.3}
    value, low, high = distances(summary(50_000, values=spread), summary(50_000, values=moved))["brightness"]
    assert value == pytest.approx(0.3, abs=0.006)
    assert 0.27 < low < value < high < 0.33


def test_values_of_one_level_differ_wholly_or_not_at_all() -> None:
    one, other = ({"width": np.full(257, side)} for side in (64.0, 65.0))
    assert distances(summary(values=one), summary(values=one))["width"][0] == 0
    assert distances(summary(values=one), summary(values=other))["width"][0] == 1


def test_the_feature_distance_is_the_energy_distance_of_two_points() -> None:
    """Data at 0 and 2, half and half, and data that are all at 0 are 1 apart on average, and 0 and 1 among themselves:
    (2 - 0 - 1) / 2."""
    halves = np.array([[0.0], [2.0]] * 200, dtype=np.float32)
    zeros = np.zeros((400, 1), dtype=np.float32)
    value, interval = feature_distance(zeros, halves)
    within = 2 * 200 * 200 / (400 * 399) * 2  # the mean distance of two different halves
    assert value == pytest.approx((2 * 1.0 - within) / 2, rel=1e-6)
    assert interval.low < value < interval.high


def test_features_that_are_all_one_point_are_compared_by_that_point() -> None:
    zeros, ones = np.zeros((5, 2), dtype=np.float32), np.ones((5, 2), dtype=np.float32)
    assert feature_distance(zeros, zeros)[0] == 0
    assert feature_distance(ones, zeros)[0] == 1


@pytest.mark.parametrize("n", [12, 100, 1000])
def test_two_draws_of_one_source_differ_by_chance_alone(n: int) -> None:
    for _ in range(20):
        for name, (_value, low, _high) in distances(summary(n), summary(n)).items():
            assert low < 0.02, name


def test_the_intervals_hold_what_very_many_data_would_come_to() -> None:
    truth = distances(summary(200_000), summary(200_000, shift=0.5))["brightness"][0]
    held = 0
    for _ in range(100):
        _, low, high = distances(summary(300), summary(300, shift=0.5))["brightness"]
        held += low <= truth <= high
    assert held >= 97
    far = [feature_distance(*(summary(500, shift=s).features for s in (0.4, 0.0))) for _ in range(60)]
    middle = float(np.mean([value for value, _ in far]))
    assert sum(interval.low <= middle <= interval.high for _, interval in far) >= 56


def test_the_farthest_rows_come_first() -> None:
    accepted = np.array([[0.0], [10.0]], dtype=np.float32)
    assert farthest(np.array([[0.5], [5.0], [10.0]], dtype=np.float32), accepted) == [1, 0, 2]


def test_of_other_shapes_and_kinds_only_number_and_labels_are_compared() -> None:
    other = summary(features=np.zeros((500, 3), dtype=np.float32), shape=(3, 8, 8))
    assert incomparable(summary(), other) == ("shape 1 x 8 x 8", "shape 3 x 8 x 8")
    assert list(distances(summary(), other)) == ["number of examples", "label shares"]
    assert incomparable(summary(), summary(kind="points")) == ("pictures", "points")
    assert incomparable(summary(), summary()) is None
