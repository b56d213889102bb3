"""A training of seconds: stage train on 60 pictures of 8 x 8, a tracker that remembers, and a kill at a step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.models.config import UNetConfig
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import DataSpec, labelled
from ddpm_core.training.config import AdamW, Constant, TrainConfig
from pipelines.kinds.pictures.rows.examples import example
from pipelines.params import RuntimeConfig
from pipelines.paths import Paths
from pipelines.shards.archive import Example, ShardConfig, write_shards
from tests.support.augmenting import augmenting

SPEC = labelled((1, 8, 8), (-1.0, 1.0), 256, ("rows", "columns"))
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
    sample_every=0,
    checkpoint_every=4,
    keep_checkpoints=2,
    keep_trainings=2,
    hold_out=0,
    on_nonfinite="stop",
    nonfinite_limit=2,
)
HELD = {"hold_out": 10, "log_every": 2, "checkpoint_every": 2}
MODEL = UNetConfig("unet", 2, 8, (1, 1), 1, (), 1, 2, 0.1, True, False, 0)
DIFFUSION = DiffusionConfig(
    "diffusion",
    Cosine("cosine", 50, 0.008, 0.999, False),
    "v",
    "fixed_small",
    Simple("simple"),
    Uniform("uniform", True),
    0.001,
)


class Killed(Exception):
    """Stands for kill -9."""


class Params(SimpleNamespace):
    """The sections that the stage may see."""

    def sections(self) -> dict[str, Any]:
        return dict(vars(self))


def params(*, model: UNetConfig = MODEL, diffusion: DiffusionConfig = DIFFUSION, **changes: Any) -> Any:
    runtime = RuntimeConfig("cpu", 1, 1, 1, 0, "local", True, False)
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


def pictures(n: int, size: int = 8) -> Iterator[Example]:
    """A bright row or column at a place of its own."""
    for i in range(n):
        image = np.zeros((1, size, size), np.uint8)
        if i % 2:
            image[0, :, i // 2 % size] = 200
        else:
            image[0, i // 2 % size] = 200
        yield example(f"{i:016x}", image, i % 2, SPEC)


def project(root: Path, samples: list[Example] | None = None, spec: DataSpec = SPEC) -> Paths:
    paths = Paths(root=root, home=root / ".ddpm")
    splits = {"train": samples or list(pictures(60)), "test": list(pictures(4, spec.shape[1]))}
    write_shards(paths.shards, spec, splits, ShardConfig(30, 10, 1000))
    return paths


def killed_at(step: int) -> Recorder:
    def kill(now: int) -> None:
        if now == step:
            raise Killed

    return Recorder(kill)
