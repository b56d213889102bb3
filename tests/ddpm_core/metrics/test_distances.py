"""The numbers of stage evaluate: their names, their floors, and equal n on both sides of every ratio."""

import numpy as np
import pytest

from ddpm_core.errors import DataError
from ddpm_core.metrics.accuracy import accuracy_metric, asked_accuracy
from ddpm_core.metrics.coverage import measure_reach, reach
from ddpm_core.metrics.distances import frechet_distances
from ddpm_core.metrics.frechet import RealFeatures, distance, gaussian_of
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.metric import Metric, rounded
from tests.support.described import eval_data, numbers

HOW = Resampling(rounds=40, seed=0, confidence=0.95)


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, 4)) + shift).astype(np.float32)


def real(train: int, test: int) -> RealFeatures:
    rows = features(train, 1)
    return RealFeatures(gaussian_of(rows), rows, np.full(train, -1), features(test, 2), np.full(test, -1))


def metrics_of(samples: np.ndarray, reference: RealFeatures, draws: int) -> list[Metric]:
    """Of samples that no label was asked for."""
    return frechet_distances("fd", samples, np.full(len(samples), -1), reference, draws, HOW)


def distances(samples: np.ndarray, reference: RealFeatures, draws: int) -> dict[str, float]:
    return numbers(metrics_of(samples, reference, draws))


def test_real_samples_score_about_their_floor_and_shifted_ones_far_above():
    good = distances(features(300, 3), real(900, 300), 5)
    bad = distances(features(300, 3, 1.0), real(900, 300), 5)
    assert good["fd_ratio_train"] < 3
    assert good["fd_ratio_test"] < 3
    assert bad["fd_ratio_train"] > 50
    assert bad["fd_ratio_test"] > 50


def test_ratio_is_taken_at_the_n_of_the_floor_where_samples_outnumber_real_images():
    samples, reference = features(500, 3), real(900, 100)
    got = distances(samples, reference, 5)
    at_floor = distance(gaussian_of(samples[:100]), reference.train)
    assert got["fd_floor_train"] == distance(gaussian_of(reference.test_rows), reference.train)
    assert got["fd_ratio_train"] == at_floor / got["fd_floor_train"]
    assert got["fd_train"] == distance(gaussian_of(samples), reference.train)


def test_a_floor_of_nothing_allows_nothing():
    rows = features(100, 1)
    same = RealFeatures(gaussian_of(rows), rows, np.full(100, -1), rows, np.full(100, -1))
    assert distances(features(100, 3), same, 1)["fd_ratio_train_low"] > 1e6
    assert distances(rows, same, 1)["fd_ratio_train_high"] <= 1


def test_too_few_images_for_a_distance_are_refused():
    with pytest.raises(DataError, match="at least 2 samples and 2 images of each split; got 1 samples"):
        distances(features(1, 3), real(10, 10), 1)
    for samples, train, test in ((2, 9, 2), (9, 9, 2), (9, 2, 9), (2, 2, 2)):
        assert distances(features(samples, 3), real(train, test), 1)["fd_train"] > 0


def test_each_ratio_lies_in_its_interval_and_the_unbiased_distance_below_the_plain_one():
    metrics = metrics_of(features(300, 3, 0.1), real(900, 300), 5)
    got = numbers(metrics)
    for split in ("train", "test"):
        assert got[f"fd_ratio_{split}_low"] < got[f"fd_ratio_{split}"] < got[f"fd_ratio_{split}_high"]
        assert (got[f"fd_{split}_low"] + got[f"fd_{split}_high"]) / 2 < got[f"fd_{split}"]
    assert {m.name for m in metrics if m.replicates is not None} == {"fd_ratio_train", "fd_ratio_test"}


def test_too_few_samples_to_extrapolate_are_told_and_give_no_unbiased_interval():
    metrics = metrics_of(features(8, 3), real(900, 300), 5)
    left_out = {m.name: m.left_out for m in metrics if m.value is None}
    assert left_out == {"fd_infinity": "it takes more than 8 samples, there are 8"}
    assert not {"fd_infinity", "fd_train_low"} & numbers(metrics).keys()


def test_accuracy_is_the_share_called_by_the_label_asked_for():
    got = numbers([asked_accuracy(accuracy_metric(3), np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2]), HOW)])
    assert got["accuracy_asked"] == 0.75
    assert got["accuracy_asked_low"] < 0.75 < got["accuracy_asked_high"]


def test_reach_is_beside_what_training_images_do_and_left_out_where_images_are_too_few():
    kinds = {"coverage", "density", "precision", "recall"}
    metrics, covered = measure_reach("fd", features(100, 3), real(200, 100), 5)
    found = numbers(metrics)
    assert set(found) == {f"fd_{kind}{real}" for kind in kinds for real in ("", "_real")}
    assert found["fd_coverage"] == covered.mean()
    assert measure_reach("fd", features(100, 3), real(200, 5), 5)[0] == []
    assert measure_reach("fd", features(5, 3), real(200, 100), 5)[0] == []


def test_measures_by_class_and_the_worst_class():
    labels = np.arange(100) % 4
    reference, samples = real(200, 100), features(100, 3)
    reference = RealFeatures(reference.train, reference.train_rows, reference.train_labels, reference.test_rows, labels)
    samples[labels == 2] *= 0.1
    view = eval_data(distance="fd", rows=samples, judge=eval_data(real=reference))
    data = eval_data(views=(view,), asked=labels, classes=5, settings=eval_data(coverage_k=5))
    by_class = {m.by_class: m.class_values for m in reach(data) if m.by_class}
    assert np.isnan(by_class["fd_diversity"][4])
    assert np.isnan(by_class["fd_coverage"][4])
    assert numbers(reach(data))["fd_diversity_class_min"] == by_class["fd_diversity"][2] < 0.03
    unlabelled = eval_data(**{**vars(data), "asked": np.full(100, -1)})
    assert {m.by_class for m in reach(unlabelled) if m.by_class} == {"fd_coverage"}


def test_the_worst_class_is_the_highest_where_less_is_better():
    values = np.array([0.5, np.nan, 0.25])
    assert Metric("a", "", "lower", by_class="b").worst(values).value == 0.5
    assert Metric("a", "", "higher", by_class="b").worst(values).value == 0.25
    assert Metric("a", "", by_class="b").worst(np.array([np.nan])).value is None


def test_numbers_are_rounded_to_significant_digits():
    assert rounded({"a": 1.23456789012345e-7, "n": 1000}) == {"a": 1.23456789e-7, "n": 1000.0}
