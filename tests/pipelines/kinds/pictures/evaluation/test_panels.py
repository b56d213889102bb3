"""What out/samples holds for the report alone: samples by steps, on their way, by levels, and the bound's terms."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.metrics.data import FeatureView
from ddpm_core.metrics.frechet import RealFeatures, gaussian_of
from ddpm_core.metrics.likeness import Judge
from pipelines.kinds.pictures.evaluation.panels import (
    Probe,
    SampleSet,
    bound_terms,
    by_steps,
    levels,
    lost_regions,
    roughest,
    trajectories,
)
from pipelines.kinds.pictures.reference.extractor import Features
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from tests.support.measured import EVALUATE
from tests.support.tiny_bundle import tiny_bundle

PANELS = EVALUATE.panels
LABELS = np.array([2, 0, 0, 1, 2, 1, 0, 2])


def made(folder: Path, *, conditional: bool = True) -> SampleSet:
    sampler = Sampler(tiny_bundle(folder / "bundle", conditional=conditional), "cpu")
    seeds, recipe = np.arange(8), sampler.recipe()
    labels = LABELS if conditional else np.full(8, -1)
    cond = {"label": labels} if conditional else {}
    images = sampler.sample(recipe, seeds.tolist(), cond)
    return SampleSet(sampler, recipe, images, labels, seeds, cond)


def probes(name: str = "classifier", without: tuple[int, ...] = ()) -> list[Probe]:
    """Two means of pixels as features; logits that call everything class 0; no sample lies in the regions `without`."""

    def see(images: np.ndarray, what: str) -> Features:
        flat = images.reshape(len(images), -1).astype(np.float32)
        logits = np.tile(np.array([1, 0, 0], dtype=np.float32), (len(images), 1))
        return Features(np.stack([flat[:, :32].mean(1), flat[:, 32:].mean(1)], axis=1), logits)

    rows = np.random.default_rng(0).normal(100, 20, (200, 2)).astype(np.float32)
    real = RealFeatures(gaussian_of(rows), rows, np.arange(200) % 3, rows[:40], np.arange(40) % 3)
    judge = Judge.of(name, real, LABELS, 1, 0)
    samples = rows[~np.isin(judge.regions.of(rows)[0], without)]
    return [Probe(FeatureView(judge, True, samples, samples, samples, None, None, None), see)]


def tile(canvas: np.ndarray, line: int, column: int) -> np.ndarray:
    return canvas[1 + 9 * line : 9 + 9 * line, 1 + 9 * column : 9 + 9 * column]


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(content.decode().splitlines()))


def test_a_row_a_number_of_steps_its_own_among_them_and_nothing_sampled_twice(tmp_path: Path) -> None:
    config = replace(EVALUATE, panels=replace(PANELS, steps=(8, 2), images=6))
    files = by_steps(made(tmp_path), probes(), config)
    rows = table(files["by_steps.csv"])
    assert [row["steps"] for row in rows] == ["2", "4", "8"]
    assert [row["evaluations"] for row in rows] == ["2", "4", "8"]
    assert [row["own"] for row in rows] == ["0", "1", "0"]
    assert {row["images"] for row in rows} == {"6"}
    assert {row["accuracy"] for row in rows} == {"0.333333333"}
    assert all(float(row["low"]) <= float(row["energy"]) <= float(row["high"]) for row in rows)
    assert sorted(files) == ["by_steps.csv", "steps_2.png", "steps_4.png", "steps_8.png"]


def test_numbers_of_steps_that_the_schedule_has_not_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(EVALUATE, panels=replace(PANELS, steps=(10_000,)))
    rows = table(by_steps(made(tmp_path), probes(), config)["by_steps.csv"])
    assert [row["steps"] for row in rows] == ["4"]
    assert "evaluate.panels.steps: 10000 was left out" in caplog.text


def test_without_labels_or_a_classifier_nothing_is_said_of_labels(tmp_path: Path) -> None:
    for what in (made(tmp_path / "a", conditional=False), made(tmp_path / "b")):
        by = probes("efficientnet_lite0")
        assert {row["accuracy"] for row in table(by_steps(what, by, EVALUATE)["by_steps.csv"])} == {""}


def test_pictures_are_the_first_of_each_class_then_the_second(tmp_path: Path) -> None:
    assert LABELS[made(tmp_path).each_class_first(5)].tolist() == [0, 1, 2, 0, 1]
    assert made(tmp_path).each_class_first(5).tolist() == [1, 3, 0, 2, 5]


def test_a_trajectory_ends_with_the_sample_itself(tmp_path: Path) -> None:
    what = made(tmp_path)
    files = trajectories(what, EVALUATE)
    about = json.loads(files["trajectory.json"])
    assert about["rows"] == [1, 2, 3, 4]
    assert about["levels"][-1] == 0
    assert about["seeds"] == [1, 3]
    canvas = decode_png(files["trajectory.png"])[0, ::7, ::7]  # pictures of 8 x 8, each pixel 7 wide, a line between
    assert tile(canvas, 0, 3).tolist() == what.images[1, 0].tolist()
    assert tile(canvas, 2, 3).tolist() == what.images[3, 0].tolist()


def test_what_is_switched_off_leaves_no_file(tmp_path: Path) -> None:
    off = replace(EVALUATE, panels=replace(PANELS, steps=(), trajectories=0))
    what = made(tmp_path)
    assert by_steps(what, probes(), off) == {}
    assert trajectories(what, off) == {}
    assert bound_terms(()) == {}


def test_levels_are_shares_that_sum_to_one() -> None:
    images = np.array([[0, 1], [1, 3]], dtype=np.uint8)
    rows = table(levels(images, images[:1], 3)["levels.csv"])
    assert [float(row["samples"]) for row in rows] == [0.25, 0.5, 0, 0.25]
    assert [float(row["unseen"]) for row in rows] == [0.5, 0.5, 0, 0]


def test_unseen_pictures_of_lost_regions_are_shown_a_row_a_region() -> None:
    unseen = np.random.default_rng(1).integers(0, 256, (40, 1, 8, 8)).astype(np.uint8)
    (whole,) = probes()
    regions = whole.view.judge.regions.of(whole.view.judge.real.test_rows)[0]
    fullest = np.argsort(-np.bincount(regions), kind="stable")[:2].tolist()
    (probe,) = probes(without=tuple(fullest))
    canvas = decode_png(lost_regions(unseen, [probe], 6, 1)["lost_classifier.png"])[0]
    for row, region in enumerate(fullest):
        first = np.flatnonzero(regions == region)[0]
        assert tile(canvas, row, 0).tolist() == unseen[first, 0].tolist()
    assert lost_regions(unseen, [whole], 6, 1) == {}


def test_the_roughest_samples_stand_above_the_smoothest() -> None:
    flat = np.full((1, 1, 8, 8), 100, dtype=np.uint8)
    noise = np.random.default_rng(2).integers(0, 256, (1, 1, 8, 8)).astype(np.uint8)
    ramp = np.broadcast_to(np.arange(8, dtype=np.uint8) * 10, (1, 1, 8, 8))
    canvas = decode_png(roughest(np.concatenate([ramp, noise, flat]), 255, 1, 1))[0]
    assert tile(canvas, 0, 0).tolist() == noise[0, 0].tolist()
    assert tile(canvas, 1, 0).tolist() == flat[0, 0].tolist()
