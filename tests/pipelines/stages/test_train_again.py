"""Stage train, interrupted, begun anew, rolled back: which training goes on, and to the same bytes."""

import csv
import json
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ddpm_core.device import Precision
from ddpm_core.errors import DdpmError
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.run_folders import key_of
from ddpm_core.training.trainer import Trainer
from ddpm_core.training.update import Update
from pipelines.paths import Paths
from pipelines.runtime.environment import THREADS
from pipelines.runtime.threads import OURS
from pipelines.stages import train
from pipelines.training.outputs import md5_file, outputs_in
from pipelines.training.setup import training_identity
from tests.support.augmenting import augmenting
from tests.support.project import write_yaml
from tests.support.small_training import (
    CPU,
    DIFFUSION,
    HELD,
    MODEL,
    Killed,
    Recorder,
    killed_at,
    params,
    project,
)


def test_an_interrupted_training_goes_on_to_the_same_bytes(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths = project(tmp_path)
    with pytest.raises(Killed):
        train.run(params(), paths, killed_at(10))
    assert not paths.weights.exists()
    resumed = Recorder()
    train.run(params(), paths, resumed)
    assert resumed.tags["resumed"] == "true"
    assert sorted(resumed.metrics) == [10, 12]
    assert resumed.key == trained[1].key
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert paths.curves.read_bytes() == trained[0].curves.read_bytes()


def copied(trained: tuple[Paths, Recorder], folder: Path) -> Paths:
    """The project after its training, free to be changed."""
    shutil.copytree(trained[0].root, folder, dirs_exist_ok=True)
    return Paths(folder, folder / ".ddpm")


def test_a_finished_training_whose_outputs_were_lost_is_not_trained_anew(
    trained: tuple[Paths, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, again = copied(trained, tmp_path), Recorder()
    paths.weights.unlink()
    paths.curves.unlink()
    monkeypatch.setattr(Trainer, "_advance", lambda *words: pytest.fail("a step was trained"))
    train.run(params(), paths, again)
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert paths.curves.read_bytes() == trained[0].curves.read_bytes()
    assert (again.tags["resumed"], again.weights) == ("true", trained[1].weights)


def test_a_kill_between_the_last_step_and_the_outputs_loses_no_step(
    trained: tuple[Paths, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(train, "weights_bytes", lambda *words: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train.run(params(), paths, Recorder())
    monkeypatch.setattr(Trainer, "_advance", lambda *words: pytest.fail("a step was trained"))
    train.run(params(), paths, Recorder())
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()


def full(*_words: Any, **_more: Any) -> None:
    raise DdpmError("the checkpoint must be written, but: No space left on device")


def test_weights_whose_checkpoint_found_no_room_outlive_that_dvc_removes_them(
    trained: tuple[Paths, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project(tmp_path)
    monkeypatch.setattr(Checkpoints, "_write", full)
    train.run(params(), paths, Recorder())
    for file in outputs_in(paths).values():
        file.unlink()
    monkeypatch.setattr(Trainer, "_advance", lambda *words: pytest.fail("a step was trained"))
    train.run(params(), paths, Recorder())
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert paths.curves.read_bytes() == trained[0].curves.read_bytes()


def test_no_step_is_trained_where_its_weights_would_find_no_room(
    trained: tuple[Paths, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=10_000))
    monkeypatch.setattr(Trainer, "_advance", lambda *words: pytest.fail("a step was trained"))
    with pytest.raises(DdpmError, match=r"MB free for the weights and a checkpoint, but has 0 MB.*Nothing was trained"):
        train.run(params(), paths, Recorder())


def test_a_training_that_dvc_has_is_begun_anew_when_it_is_run_again(
    trained: tuple[Paths, Recorder], tmp_path: Path
) -> None:
    paths, again = copied(trained, tmp_path), Recorder()
    outs = [{"path": name, "md5": md5_file(file)} for name, file in outputs_in(paths).items()]
    write_yaml(paths.root / "dvc.lock", {"schema": "2.0", "stages": {"train": {"outs": outs}}})
    train.run(params(), paths, again)
    assert again.tags["resumed"] == "false"
    assert sorted(again.metrics) == [5, 10, 12]
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()


@pytest.mark.parametrize("text", ["", "stages: {", "stages: {train: {outs: [{path: out/curves.csv}]}}"])
def test_a_lock_that_names_no_outputs_has_none(tmp_path: Path, text: str) -> None:
    paths = Paths(tmp_path, tmp_path / ".ddpm")
    assert not train.committed({}, paths)
    (tmp_path / "dvc.lock").write_text(text, encoding="utf-8")
    assert not train.committed({"out/curves.csv": "a"}, paths)


def test_the_key_knows_all_that_the_bits_depend_on() -> None:
    def key(changed: Any, data: str = "d", precision: Precision = "fp32", processes: int = 1, c: bool = False) -> str:
        return key_of(training_identity(changed, "pictures", data, CPU, precision, processes, c))

    elsewhere = params()
    elsewhere.runtime = replace(elsewhere.runtime, device="auto", workers=3, tracking=True, threads=2)
    watched = params(compile="auto", sample_every=1, keep_checkpoints=5, keep_trainings=0, checkpoint_every=1)
    rolling = [params(on_nonfinite="roll_back", checkpoint_every=every) for every in (1, 2)]
    keys = [
        key(params()),
        key(params(lr=2e-3)),
        key(params(model=replace(MODEL, channels=16))),
        key(params(diffusion=replace(DIFFUSION, target="eps"))),
        key(params(), "e"),
        key(params(), precision="bf16"),
        key(params(), processes=2),
        key(params(), c=True),
        *map(key, rolling),
        *(key(params(**{**HELD, "checkpoint_every": every})) for every in (2, 4)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(elsewhere) == keys[0]
    assert key(watched) == keys[0]
    assert key(params(on_nonfinite="skip", nonfinite_limit=9)) == keys[0]


@pytest.mark.parametrize("precision", ["bf16", "tf32", "fp32"])
def test_the_identity_names_the_precision_and_whether_kernels_add_in_a_fixed_order(precision: Precision) -> None:
    def identity(device: str, deterministic: bool) -> dict[str, Any]:
        changed = params()
        changed.runtime = replace(changed.runtime, deterministic=deterministic)
        return training_identity(changed, "pictures", "d", torch.device(device), precision, 1, False)

    found = {where: (identity(where, True), identity(where, False)) for where in ("cpu", "cuda")}
    assert {one["precision"] for pair in found.values() for one in pair} == {precision}
    assert found["cpu"][0] == found["cpu"][1]
    assert found["cpu"][1]["deterministic"]  # a CPU's kernels have a fixed order always
    assert found["cuda"][1] == {**found["cuda"][0], "deterministic": False}
    assert found["cuda"][0]["deterministic"]


def test_another_training_begins_anew_and_says_what_differs(
    trained: tuple[Paths, Recorder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = project(tmp_path)
    with pytest.raises(Killed):
        train.run(params(lr=2e-3, augment=augmenting()), paths, killed_at(10))
    with caplog.at_level("INFO"):
        train.run(params(), paths, Recorder())
    assert (
        "the newest checkpoint is of another training (step 8), which differs in train.augment.horizontal_flip "
        "(0.0 before, 0.5 now); train.lr (0.002 before, 0.001 now); this one starts"
    ) in caplog.text
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert len(list(paths.checkpoints.iterdir())) == 2  # the one that was interrupted, and this one's last step


def test_keys_that_change_no_bit_may_change_on_the_way(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths = project(tmp_path)
    with pytest.raises(Killed):
        train.run(params(), paths, killed_at(10))
    resumed = Recorder()
    train.run(params(checkpoint_every=3, sample_every=6, keep_checkpoints=1), paths, resumed)
    assert resumed.tags["resumed"] == "true"
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()


def with_threads(asked: Any) -> Any:
    changed = params()
    changed.runtime = replace(changed.runtime, threads=asked)
    return changed


def metadata(paths: Paths) -> dict[str, Any]:
    with safe_open(paths.weights, "pt") as file:
        return json.loads(file.metadata()["ddpm"])


@pytest.fixture
def no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*THREADS, OURS):
        monkeypatch.setenv(name, "")  # so that it is put back, whatever the training makes of it
        monkeypatch.delenv(name)
    monkeypatch.setattr("pipelines.runtime.threads.measured", lambda: 1)


@pytest.mark.usefixtures("no_override")
@pytest.mark.parametrize("asked", [1, "auto"])
def test_a_training_keeps_the_threads_that_it_began_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: Any
) -> None:
    whole, cut = project(tmp_path / "whole"), project(tmp_path / "cut")
    train.run(with_threads(2), whole, Recorder())
    with pytest.raises(Killed):
        train.run(with_threads(2), cut, killed_at(10))
    resumed = Recorder()
    with caplog.at_level("INFO"):
        train.run(with_threads(asked), cut, resumed)
    assert "threads: 2, " in caplog.text
    assert (resumed.tags["resumed"], resumed.tags["threads"]) == ("true", "2")
    assert cut.weights.read_bytes() == whole.weights.read_bytes()
    assert metadata(cut)["threads"] == [[0, 2]]


@pytest.mark.usefixtures("no_override")
def test_the_environment_changes_the_threads_of_a_training_which_goes_on_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project(tmp_path)
    with pytest.raises(Killed):
        train.run(with_threads(2), paths, killed_at(10))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    resumed = Recorder()
    train.run(with_threads(2), paths, resumed)
    assert "had 2 threads so far and continues with 1" in caplog.text
    assert (resumed.tags["resumed"], resumed.tags["threads"]) == ("true", "2, 1")
    assert metadata(paths)["threads"] == [[0, 2], [8, 1]]
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("no_override")
def test_a_new_training_has_the_threads_that_are_free(tmp_path: Path) -> None:
    paths = project(tmp_path)
    train.run(with_threads("auto"), paths, Recorder())
    assert metadata(paths)["threads"] == [[0, 1]]


def test_a_roll_back_leaves_each_step_logged_once_and_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, recorder = project(tmp_path), Recorder()
    clip, calls = Update._clip, count(1)
    monkeypatch.setattr(Update, "_clip", lambda self: clip(self) * (float("nan") if next(calls) == 8 else 1.0))
    train.run(params(on_nonfinite="roll_back", checkpoint_every=4, log_every=2), paths, recorder)
    assert recorder.logged == [2, 4, 6, 8, 10, 12]
    with paths.curves.open() as file:
        rows = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}
    assert rows == {step: metrics["loss"] for step, metrics in recorder.metrics.items()}
    assert recorder.tags["rolled_back.1"] == "after step 7, to step 4"


def test_held_out_pictures_choose_a_step_whose_averages_are_kept(tmp_path: Path) -> None:
    paths, recorder = project(tmp_path / "a"), Recorder()
    train.run(params(lr=1.0, grad_clip=0.0, ema_decay=0.0, **HELD), paths, recorder)
    with paths.curves.open() as file:
        losses = {int(row["step"]): float(row["held_out_loss"]) for row in csv.DictReader(file)}
    assert list(losses) == [2, 4, 6, 8, 10, 12]
    best = min(losses, key=lambda step: losses[step])
    assert best < 12
    with safe_open(paths.weights, "pt") as file:
        assert json.loads(file.metadata()["ddpm"])["best"] == {"step": best, "held_out_loss": losses[best]}
    assert (recorder.tags["best.step"], recorder.metrics[best]["held_out_loss"]) == (str(best), losses[best])
    tensors = load_file(paths.weights)
    shorter = project(tmp_path / "b")
    train.run(params(lr=1.0, grad_clip=0.0, ema_decay=0.0, **{**HELD, "steps": best}), shorter, Recorder())
    there = load_file(shorter.weights)
    assert all(torch.equal(tensors[f"best/{name}"], weight) for name, weight in there.items())


def test_an_interrupted_training_keeps_its_best(tmp_path: Path) -> None:
    whole, cut = project(tmp_path / "whole"), project(tmp_path / "cut")
    changes = {"lr": 0.1, "grad_clip": 0.0, **HELD}
    train.run(params(**changes), whole, Recorder())
    with pytest.raises(Killed):
        train.run(params(**changes), cut, killed_at(10))
    resumed = Recorder()
    train.run(params(**changes), cut, resumed)
    assert resumed.tags["resumed"] == "true"
    assert cut.weights.read_bytes() == whole.weights.read_bytes()
    assert cut.curves.read_bytes() == whole.curves.read_bytes()
