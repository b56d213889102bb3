"""The measures of points: closed forms, and a gate that passes real points and refuses every gross fault of them."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from ddpm_core.gate.config import LikenessGate
from ddpm_core.gate.verdict import Verdict, verdict
from ddpm_core.metrics.counts import counts
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.measurement import recorded
from ddpm_core.metrics.metric import Metric, flat
from pipelines.kinds.points.evaluation.config import PointsEvaluateConfig
from pipelines.kinds.points.evaluation.measure import score_controls
from pipelines.kinds.points.evaluation.measures import OUTSIDE, RealPoints
from pipelines.kinds.points.reference.controls import WORDS, controls

CONFIG = PointsEvaluateConfig(
    n="test", n_most=None, seed=0, batch_size=64, engine="onnxruntime", steps=None, guidance=None, floor_draws=3,
    resamples=40, confidence=0.95, directions=16, copy_quantile=0.001, copy_ratio=0.1,
)  # fmt: skip
GATE = LikenessGate(
    model_name=None, min_samples=100, max_energy=0.1, max_lost=0.2, max_distance_ratio=3.0,
    max_accuracy_loss=0.02, max_copy_excess=0.005, copy_significance=0.01, max_broken_excess=0.005,
    max_golden_difference=0.1, max_unseen_controls=0, max_champion_loss=0.02, absolute=(),
)  # fmt: skip
GROSS = [name for name, (_, gross) in WORDS.items() if gross]


def moons(n: int, rng: np.random.Generator) -> np.ndarray:
    angle, upper = np.pi * rng.random(n), rng.random(n) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], axis=1) + 0.1 * rng.standard_normal((n, 2))


LAWS: dict[str, Any] = {
    "two moons": moons,
    "a Gaussian": lambda n, rng: rng.standard_normal((n, 2)),
    "a square": lambda n, rng: rng.random((n, 2)),
    "two clusters": lambda n, rng: 0.05 * rng.standard_normal((n, 2)) + rng.integers(0, 2, (n, 1)),
    "a line": lambda n, rng: rng.random((n, 1)) * [1.0, 2.0] + 1e-3 * rng.standard_normal((n, 2)),
    "heavy tails": lambda n, rng: rng.standard_t(3, (n, 2)),
    "a grid": lambda n, rng: rng.integers(0, 30, (n, 2)).astype(float),
}


@cache
def real(law: str = "two moons", n: int = 600) -> RealPoints:
    """Points of mean 0 and standard deviation 1, as the network sees them."""
    rng = np.random.default_rng(1)
    points = LAWS[law](3 * n, rng)
    points = ((points - points.mean(axis=0)) / points.std(axis=0)).astype(np.float32)
    none = np.full(n, -1)
    return RealPoints(points[:n], none, points[n : 2 * n], none, none, CONFIG)


def third(law: str = "two moons", n: int = 600) -> np.ndarray:
    """As many points of the same law that are in neither split: perfect samples."""
    points = LAWS[law](3 * n, np.random.default_rng(1))
    return ((points - points.mean(axis=0)) / points.std(axis=0)).astype(np.float32)[2 * n :]


def measured(points: np.ndarray, of: RealPoints) -> list[Metric]:
    return [
        *of.measures(points, np.full(len(points), -1)),
        *counts(len(points), len(of.test), len(of.train)),
    ]


def by_name(points: np.ndarray, of: RealPoints) -> dict[str, Metric]:
    return {metric.name: metric for metric in measured(points, of)}


@cache
def scored(law: str) -> dict[str, Any]:
    of = real(law)
    return score_controls(of, controls(of.train, of.train_labels, 250, 0))


def judged(points: np.ndarray, law: str = "two moons") -> Verdict:
    metrics = measured(points, real(law))
    record = {
        "conditions": {"settings": {"confidence": CONFIG.confidence}, "resampling": RESAMPLING},
        "provenance": {"bundle": "a bundle"},
        **recorded(metrics),
        "controls": scored(law),
    }
    return verdict(flat(metrics, CONFIG.confidence), record, GATE)


@pytest.mark.parametrize("law", LAWS)
def test_points_of_the_same_law_pass_and_every_gross_fault_is_refused(law: str) -> None:
    found = judged(third(law), law)
    assert found.passed, found.table()
    refused = {control.name for control in found.controls if control.blocked}
    assert set(GROSS) <= refused


def test_what_the_gate_cannot_see_is_told_where_it_is_no_fault() -> None:
    """A Gaussian of the data's mean and covariance is the law of a Gaussian, and none of two moons."""
    assert WORDS["gaussian"][0] in judged(third("a Gaussian"), "a Gaussian").blind
    assert judged(third()).blind.find(WORDS["gaussian"][0]) < 0


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        (lambda of: np.random.default_rng(0).uniform(-4, 4, (600, 2)).astype(np.float32), "energy"),
        (lambda of: of.train, "copies"),
        (lambda of: np.repeat(of.train[:1], 600, axis=0), "energy"),
        (lambda of: of.train + np.float32([1, 0]), "sliced Wasserstein"),
        (lambda of: third() * np.where(np.arange(600) % 5 == 0, 3, 1).astype(np.float32)[:, None], "outside the range"),
    ],
    ids=["noise", "copies", "one point", "shifted", "a fifth far out"],
)
def test_bad_samples_fail_by_the_rule_that_is_about_them(samples: Any, rule: str) -> None:
    found = judged(samples(real()))
    assert found.outcome == "fail"
    assert [each.rule for each in found.rules if each.outcome == "fail" and rule in each.rule], found.table()


def test_a_share_outside_the_box_is_counted_by_hand() -> None:
    of = real()
    points = np.array([[0, 0], [0, 99], [-99, 0], of.train.max(axis=0)], dtype=np.float32)
    assert of.outside(points) == 0.5
    assert of.outside(of.train) == 0.0
    assert by_name(points, of)[OUTSIDE.name].value == 0.5


def test_copies_are_points_of_training_to_the_bit_and_near_ones() -> None:
    of = real()
    found = by_name(np.concatenate([of.train[:300], third()[:300]]), of)
    assert found["near_share"].value == pytest.approx(0.5, abs=0.02)
    assert by_name(third(), of)["near_share"].value < 0.02
    exact = np.sqrt(((third()[:, None].astype(float) - of.train[None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(of.nearest(third()).first, exact.min(axis=1), rtol=1e-9)


def test_a_class_is_that_of_the_nearest_training_point() -> None:
    """Two far clusters: a share of the samples that lies in the other cluster is a share that is wrong."""
    rng = np.random.default_rng(2)
    labels = rng.permutation(np.arange(400) % 2)
    kept = np.sort(labels)  # the classes of both splits, in another order

    def clusters(of: np.ndarray) -> np.ndarray:
        return (0.1 * rng.standard_normal((400, 2)) + 3.0 * of[:, None]).astype(np.float32)

    train, test, samples = clusters(kept), clusters(kept), clusters(labels)
    of = RealPoints(train, kept, test, kept, labels, CONFIG)
    found = {metric.name: metric for metric in of.of_classes(samples, labels, 2)}
    assert found["accuracy_asked"].value == 1.0
    assert found["accuracy_heldout"].value == 1.0
    assert found["energy_coordinates_class_max"].value == pytest.approx(0.0, abs=0.05)
    wrong = np.where(np.arange(400) < 100, 1 - labels, labels)
    found = {metric.name: metric for metric in of.of_classes(samples, wrong, 2)}
    assert found["accuracy_asked"].value == 0.75
    interval = found["accuracy_asked"].interval
    assert interval is not None
    assert interval.low < 0.75 < interval.high


@pytest.mark.parametrize("n", [250, 5000])
def test_controls_are_the_same_each_time_and_no_more_than_there_are_points(n: int) -> None:
    of = real()
    labels = np.arange(600) % 3
    first, second = ({each.name: each.points for each in controls(of.train, labels, n, 0)} for _ in range(2))
    assert set(first) == set(WORDS)
    for name, points in first.items():
        assert np.array_equal(points, second[name])
        assert 100 <= len(points) <= min(n, 600)
        assert np.isfinite(points).all()
    assert np.array_equal(np.sort(first["one class"], axis=0), np.sort(of.train[labels == 0][:n], axis=0))
    assert "one class" not in {each.name for each in controls(of.train, of.train_labels, n, 0)}
