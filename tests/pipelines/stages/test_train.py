"""Stage train: the same bytes from the same inputs, and what it leaves behind."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ddpm_core.files import sha256_file
from ddpm_core.spec import DataSpec, labelled
from ddpm_core.training.config import InitFrom
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.paths import Paths
from pipelines.stages import train
from pipelines.training.batches import spec_of_network
from tests.support.small_training import (
    DIFFUSION,
    MODEL,
    SPEC,
    Recorder,
    params,
    pictures,
    project,
)


def test_two_trainings_give_the_same_bytes(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths = project(tmp_path)
    train.run(params(), paths, Recorder())
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert paths.curves.read_bytes() == trained[0].curves.read_bytes()


def test_after_success_the_last_step_alone_stays(trained: tuple[Paths, Recorder]) -> None:
    (place,) = trained[0].checkpoints.iterdir()
    assert [entry.name for entry in place.glob("step-*")] == ["step-00000012"]


def test_weights_say_what_they_are_under_one_metadata_key(trained: tuple[Paths, Recorder]) -> None:
    paths, recorder = trained
    with safe_open(paths.weights, "pt") as file:
        assert set(file.metadata()) == {"ddpm"}
        said = json.loads(file.metadata()["ddpm"])
    assert set(said) == {
        "spec",
        "model",
        "diffusion",
        "train_digest",
        "data_digest",
        "steps",
        "threads",
        "computed",
        "averages",
    }
    assert said["computed"] == {"device": "cpu", "precision": "fp32", "deterministic": True, "compiled": False}
    assert DataSpec.from_dict(said["spec"]) == SPEC
    assert said["train_digest"] == recorder.key
    assert recorder.weights == sha256_file(paths.weights)


def test_further_averages_lie_beside_the_one_that_ships(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths, other = project(tmp_path / "a"), project(tmp_path / "b")
    train.run(params(ema_more=(0.5, 0.999)), paths, Recorder())
    train.run(params(ema_decay=0.5), other, Recorder())
    several, plain, narrow = (load_file(at.weights) for at in (paths, trained[0], other))
    assert all(torch.equal(several[name], weight) for name, weight in plain.items())
    assert all(torch.equal(several[f"ema-0.5/{name}"], weight) for name, weight in narrow.items())
    assert len(several) == 3 * len(plain)


def test_curves_hold_a_row_a_window_and_no_time(trained: tuple[Paths, Recorder]) -> None:
    paths, recorder = trained
    with paths.curves.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == train.COLUMNS
    assert [int(row["step"]) for row in rows] == [5, 10, 12]
    assert [recorder.metrics[5][name] for name in ("loss", "lr")] == [float(rows[0]["loss"]), float(rows[0]["lr"])]


def test_the_tracker_hears_numbers_pictures_and_where_they_come_from(trained: tuple[Paths, Recorder]) -> None:
    recorder = trained[1]
    assert {"loss", "grad_norm", "lr", "items_per_second", "data_wait", "epoch", "memory_mb"} <= set(
        recorder.metrics[5]
    )
    assert 10 < recorder.metrics[5]["memory_mb"] < 100_000
    assert recorder.metrics[12]["epoch"] == 4
    assert set(recorder.files) == {"samples/step-0000006.png", "samples/step-0000012.png", "curves/curves.csv"}
    assert decode_png(recorder.files["samples/step-0000012.png"]).shape == (1, 38, 182)
    assert recorder.params["train.lr"] == 1e-3
    assert recorder.tags["precision"] == "fp32"
    assert len(recorder.tags["data.digest"]) == 64


def test_without_labels_and_with_a_learned_variance(tmp_path: Path) -> None:
    paths = project(tmp_path)
    learned = replace(DIFFUSION, variance="learned")
    train.run(params(diffusion=learned, conditioning="none", steps=3, accumulate=2), paths, Recorder())
    with safe_open(paths.weights, "pt") as file:
        assert json.loads(file.metadata()["ddpm"])["spec"]["conditions"] == {}
        assert not any("label" in name for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize(
    ("conditioning", "classes", "expected"),
    [("auto", ("a", "b"), True), ("auto", ("a",), False), ("auto", (), False), ("labels", ("a",), True)],
)
def test_conditioning_is_auto_where_there_is_something_to_tell_apart(
    conditioning: Any, classes: tuple[str, ...], expected: bool
) -> None:
    spec = labelled(SPEC.shape, SPEC.range, SPEC.levels, classes)
    assert bool(spec_of_network(conditioning, spec).conditions) is expected
    assert spec_of_network("none", spec).conditions == {}


@pytest.mark.parametrize(("textured", "refine"), [(True, 16), (False, 0)])
def test_refine_auto_is_judged_by_the_pictures_and_what_it_came_to_is_kept(
    textured: bool, refine: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    noise = np.random.default_rng(0).integers(0, 256, (60, *SPEC.shape), dtype=np.uint8)
    samples = [
        replace(one, arrays={**one.arrays, "x": noise[i]}) if textured else one for i, one in enumerate(pictures(60))
    ]
    recorder, paths = Recorder(), project(tmp_path / "auto", samples)
    auto = params(model=replace(MODEL, refine="auto"), steps=3)
    train.run(auto, paths, recorder)
    with safe_open(paths.weights, "pt") as file:
        said = json.loads(file.metadata()["ddpm"])
        assert any(name.startswith("refine.") for name in file.keys()) is (refine > 0)  # noqa: SIM118
    assert said["model"]["refine"] == refine
    assert recorder.tags["refine"] == str(refine)
    assert f"model.refine: auto is {refine} here" in caplog.text
    given = project(tmp_path / "given", samples)
    train.run(params(model=replace(MODEL, refine=refine), steps=3), given, Recorder())
    assert given.weights.read_bytes() == paths.weights.read_bytes()


def test_a_profile_writes_its_folder_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_PROFILE_STEPS", 1)
    paths = project(tmp_path)
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    text = train.profile(params(), paths)
    after = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert {file.name for file in after - before} == {"trace.json", "table.txt", "operators.txt"}
    assert all(file.parent == paths.profile for file in after - before)
    assert (paths.profile / "table.txt").read_text() == text


def test_a_probe_learns_one_batch_and_writes_nothing(tmp_path: Path) -> None:
    paths = project(tmp_path)
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert "of it: the network learns" in train.probe(params(lr=3e-3), paths)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == before


def test_fine_tuning_begins_with_the_weights_of_the_file(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths = project(tmp_path)
    (tmp_path / "old.safetensors").write_bytes(trained[0].weights.read_bytes())
    start = InitFrom("old.safetensors", sha256_file(trained[0].weights))
    train.run(params(init_from=start, steps=3, lr=1e-12, ema_decay=0.0), paths, Recorder())
    old, new = load_file(trained[0].weights), load_file(paths.weights)
    assert all(torch.allclose(new[name], weight, atol=1e-6) for name, weight in old.items())


def test_no_updates_leave_the_weights_of_the_file_to_the_stages_after(
    trained: tuple[Paths, Recorder], tmp_path: Path
) -> None:
    paths = project(tmp_path)
    (tmp_path / "old.safetensors").write_bytes(trained[0].weights.read_bytes())
    start = InitFrom("old.safetensors", sha256_file(trained[0].weights))
    train.run(params(init_from=start, steps=0, warmup_steps=0), paths, Recorder())
    old, new = load_file(trained[0].weights), load_file(paths.weights)
    assert all(torch.equal(new[name], weight) for name, weight in old.items())
    assert len(paths.curves.read_text().splitlines()) == 1
    before = paths.weights.read_bytes()
    train.run(params(init_from=start, steps=0, warmup_steps=0), paths, Recorder())
    assert paths.weights.read_bytes() == before
