"""Stage train on 200 pictures of 8 x 8: the same bytes from the same inputs, interrupted or not, and clear refusals."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ddpm_core.diffusion.config import DiffusionConfig
from ddpm_core.diffusion.schedule import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.errors import DataError, NonFiniteError, ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.models.config import UNetConfig
from ddpm_core.spec import DataSpec
from ddpm_core.training.config import AdamW, Constant, InitFrom, TrainConfig
from ddpm_core.training.shelf import key_of
from ddpm_core.training.trainer import Trainer
from pipelines.params import RuntimeConfig
from pipelines.paths import Paths
from pipelines.stages import train
from pipelines.tools.batches import is_conditional
from pipelines.tools.decode import decode_png
from pipelines.tools.making import check_parts, training_identity
from pipelines.tools.shards import Sample, ShardConfig, write_shards
from tests.support.augmenting import augmenting

SPEC = DataSpec((1, 8, 8), (-1.0, 1.0), 256, ("rows", "columns"))
CPU = torch.device("cpu")
TRAIN = TrainConfig(
    seed=0,
    init_from=None,
    steps=12,
    batch_size=16,
    accumulate=1,
    conditioning="auto",
    label_dropout=0.1,
    augment=augmenting(horizontal_flip=0.5),
    lr=1e-3,
    warmup_steps=2,
    lr_schedule=Constant("constant"),
    optimiser=AdamW("adamw", (0.9, 0.99), 1e-8, 0.01),
    grad_clip=1.0,
    ema_decay=0.99,
    ema_more=(),
    ema_warmup=10.0,
    precision="fp32",
    compile="never",
    log_every=5,
    sample_every=6,
    checkpoint_every=4,
    keep_checkpoints=2,
    keep_trainings=2,
    hold_out=0,
    on_nonfinite="stop",
    nonfinite_limit=2,
)
MODEL = UNetConfig("unet", 2, 8, (1, 1), 1, (), 1, 2, 0.1, True, False)
DIFFUSION = DiffusionConfig(
    Cosine("cosine", 50, 0.008, 0.999, False), "v", "fixed_small", Simple("simple"), Uniform("uniform", True), 0.001
)


class Killed(Exception):
    """Stands for kill -9."""


class Params(SimpleNamespace):
    """The sections that the stage may see."""

    def sections(self) -> dict[str, Any]:
        return dict(vars(self))


def params(*, model: UNetConfig = MODEL, diffusion: DiffusionConfig = DIFFUSION, **changes: Any) -> Any:
    runtime = RuntimeConfig("cpu", 1, 1, 1, 0, False)
    return Params(model=model, diffusion=diffusion, train=replace(TRAIN, **changes), runtime=runtime)


class Recorder:
    """Stands for the tracker and its run, and keeps what it is told."""

    def __init__(self, on_metrics: Callable[[int], None] = lambda _step: None) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.logged: list[int] = []
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.params: dict[str, Any] = {}
        self.weights: str | None = None
        self._on_metrics = on_metrics

    @contextmanager
    def training_run(self, key: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator["Recorder"]:
        self.key, self.params, self.tags = key, dict(params), dict(tags)
        yield self

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.metrics[step] = dict(metrics)
        self.logged.append(step)
        self._on_metrics(step)

    def log_file(self, path: Path, folder: str) -> None:
        self.files[f"{folder}/{path.name}"] = path.read_bytes()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags.update(tags)

    def finished(self, weights_sha256: str) -> None:
        self.weights = weights_sha256


def pictures(n: int, size: int = 8) -> Iterator[Sample]:
    """A bright row or column at a place of its own."""
    for i in range(n):
        image = np.zeros((1, size, size), np.uint8)
        if i % 2:
            image[0, :, i // 2 % size] = 200
        else:
            image[0, i // 2 % size] = 200
        yield Sample(f"{i:016x}", image, i % 2)


def project(root: Path, samples: list[Sample] | None = None, spec: DataSpec = SPEC) -> Paths:
    paths = Paths(root=root, home=root / ".ddpm")
    splits = {"train": samples or list(pictures(60)), "test": list(pictures(4, spec.shape[1]))}
    write_shards(paths.shards, spec, splits, ShardConfig(30, 10, 1000))
    return paths


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Recorder]:
    paths = project(tmp_path_factory.mktemp("trained"))
    recorder = Recorder()
    train.run(params(), paths, recorder)
    return paths, recorder


def test_two_trainings_give_the_same_bytes(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths = project(tmp_path)
    train.run(params(), paths, Recorder())
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert paths.curves.read_bytes() == trained[0].curves.read_bytes()


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


def test_checkpoints_go_after_success(trained: tuple[Paths, Recorder]) -> None:
    assert list(trained[0].checkpoints.glob("*")) == []


def test_weights_say_what_they_are_under_one_metadata_key(trained: tuple[Paths, Recorder]) -> None:
    paths, recorder = trained
    with safe_open(paths.weights, "pt") as file:
        assert set(file.metadata()) == {"ddpm"}
        said = json.loads(file.metadata()["ddpm"])
    assert set(said) == {
        "spec",
        "model",
        "diffusion",
        "conditional",
        "train_digest",
        "data_digest",
        "steps",
        "averages",
    }
    assert said["conditional"] is True
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
    assert {"loss", "grad_norm", "lr", "images_per_second", "data_wait", "epoch", "memory_mb"} <= set(
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
        assert json.loads(file.metadata()["ddpm"])["conditional"] is False
        assert not any("label" in name for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize(
    ("conditioning", "classes", "expected"),
    [("auto", ("a", "b"), True), ("auto", ("a",), False), ("auto", (), False), ("labels", ("a",), True)],
)
def test_conditioning_is_auto_where_there_is_something_to_tell_apart(
    conditioning: Any, classes: tuple[str, ...], expected: bool
) -> None:
    spec = replace(SPEC, classes=classes)
    assert is_conditional(conditioning, spec) is expected
    assert is_conditional("none", spec) is False


def test_labels_asked_for_where_there_are_none_are_refused() -> None:
    with pytest.raises(ParamsError, match="labels needs data with classes, and these have none; set it to auto"):
        is_conditional("labels", replace(SPEC, classes=()))


def test_the_key_knows_all_that_the_bits_depend_on() -> None:
    def key(
        changed: Any, data: str = "d", dtype: torch.dtype = torch.float32, processes: int = 1, c: bool = False
    ) -> str:
        return key_of(training_identity(changed, data, CPU, dtype, processes, c))

    other_threads = params()
    other_threads.runtime = replace(other_threads.runtime, threads=2)
    elsewhere = params()
    elsewhere.runtime = replace(elsewhere.runtime, device="auto", workers=3, tracking=True)
    watched = params(compile="auto", sample_every=1, keep_checkpoints=5, keep_trainings=0, checkpoint_every=1)
    rolling = [params(on_nonfinite="roll_back", checkpoint_every=every) for every in (1, 2)]
    keys = [
        key(params()),
        key(params(lr=2e-3)),
        key(params(model=replace(MODEL, channels=16))),
        key(params(diffusion=replace(DIFFUSION, target="eps"))),
        key(params(), "e"),
        key(params(), dtype=torch.bfloat16),
        key(params(), processes=2),
        key(params(), c=True),
        key(other_threads),
        *map(key, rolling),
        *(key(params(**{**HELD, "checkpoint_every": every})) for every in (2, 4)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(elsewhere) == keys[0]
    assert key(watched) == keys[0]
    assert key(params(on_nonfinite="skip", nonfinite_limit=9)) == keys[0]


def killed_at(step: int) -> Recorder:
    def kill(now: int) -> None:
        if now == step:
            raise Killed

    return Recorder(kill)


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
        "(0.0 before, 0.5 now); train.lr (0.002 before, 0.001 now); this one begins anew"
    ) in caplog.text
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()
    assert len(list(paths.checkpoints.iterdir())) == 1


def test_keys_that_change_no_bit_may_change_on_the_way(trained: tuple[Paths, Recorder], tmp_path: Path) -> None:
    paths = project(tmp_path)
    with pytest.raises(Killed):
        train.run(params(), paths, killed_at(10))
    resumed = Recorder()
    train.run(params(checkpoint_every=3, sample_every=0, keep_checkpoints=1), paths, resumed)
    assert resumed.tags["resumed"] == "true"
    assert paths.weights.read_bytes() == trained[0].weights.read_bytes()


def test_a_size_that_does_not_divide_is_refused_before_any_step(tmp_path: Path) -> None:
    odd = replace(SPEC, shape=(1, 10, 10))
    paths = project(tmp_path, list(pictures(40, 10)), odd)
    with pytest.raises(ParamsError, match=r"height and width must be multiples of 4 .* got 10 x 10; resize"):
        train.run(params(), paths, Recorder())
    assert not paths.checkpoints.exists()


def test_pictures_that_are_all_alike_are_refused(tmp_path: Path) -> None:
    blank = [Sample(f"{i:016x}", np.full((1, 8, 8), 7, np.uint8), 0) for i in range(20)]
    with pytest.raises(DataError, match="the pictures must differ, but every pixel of the first 16 is 7"):
        train.run(params(), project(tmp_path, blank), Recorder())


def test_pixels_above_the_levels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a pixel must be from 0 to 15, got 200; run `ddpm prepare` again"):
        train.run(params(), project(tmp_path, spec=replace(SPEC, levels=16)), Recorder())


def test_fewer_pictures_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 60 pictures, fewer than one batch of 64; lower the batch size"):
        train.run(params(batch_size=64), project(tmp_path), Recorder())


def test_a_rate_that_blows_up_stops_with_exit_5_and_writes_nothing(tmp_path: Path) -> None:
    paths = project(tmp_path)
    with pytest.raises(NonFiniteError, match="must be finite numbers") as caught:
        train.run(params(lr=1e30, grad_clip=0.0, warmup_steps=0), paths, Recorder())
    assert caught.value.exit_code == 5
    assert not paths.weights.exists()


def test_a_profile_writes_its_folder_and_nothing_else(tmp_path: Path) -> None:
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


def test_a_roll_back_leaves_each_step_logged_once_and_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, recorder = project(tmp_path), Recorder()
    clip, calls = Trainer._clip, count(1)
    monkeypatch.setattr(Trainer, "_clip", lambda self: clip(self) * (float("nan") if next(calls) == 8 else 1.0))
    train.run(params(on_nonfinite="roll_back", checkpoint_every=4, log_every=2), paths, recorder)
    assert recorder.logged == [2, 4, 6, 8, 10, 12]
    with paths.curves.open() as file:
        rows = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}
    assert rows == {step: metrics["loss"] for step, metrics in recorder.metrics.items()}
    assert recorder.tags["rolled_back.1"] == "after step 7, to step 4"


HELD = {"hold_out": 10, "log_every": 2, "checkpoint_every": 2}


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


def test_a_batch_that_cannot_be_cut_among_the_processes_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"batch_size: must be a multiple of .* = 3 x 1, got 16; change it, or start"):
        check_parts(TRAIN, 3)
    check_parts(TRAIN, 4)
