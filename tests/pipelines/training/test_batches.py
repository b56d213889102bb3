"""Batches for a training: a function of (seed, k), and cut among processes they are the same rows."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_core.objectives.batch import Share
from ddpm_core.spec import Condition, DataSpec, labelled
from ddpm_core.training.config import TrainConfig
from pipelines.kinds.pictures.rows.examples import example
from pipelines.params import load_params
from pipelines.shards.archive import Example, ShardConfig, read_split, write_shards
from pipelines.training.batches import batch_source, held_out_batches, spec_of_network
from tests.support.augmenting import EVERYTHING, augmenting
from tests.support.imports import ROOT

SPEC = labelled((1, 4, 4), (-1.0, 1.0), 256, ("a", "b"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    place = tmp_path_factory.mktemp("data") / "shards"
    examples = [
        example(f"{i:016x}", rng.integers(0, 256, (1, 4, 4)).astype(np.uint8), i % 3 - 1, SPEC) for i in range(50)
    ]
    write_shards(place, SPEC, {"train": examples}, ShardConfig(20, 5, 25))
    return place


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    train = load_params(ROOT / "params.yaml").train
    return replace(train, batch_size=12, augment=EVERYTHING)


def test_a_picture_keeps_its_label_and_one_without_has_the_null_class(folder: Path, config: TrainConfig) -> None:
    """The null class is the number of classes: what label dropout shows, and what a sampler asks for no label with."""
    plain = replace(config, augment=augmenting(), hold_out=9)
    split = read_split(folder, "train")
    null = len(SPEC.classes)
    wanted = {
        SPEC.encode(image).tobytes(): label for image, label in zip(split.x, split.cond["label"].tolist(), strict=True)
    }
    assert set(wanted.values()) == {0, 1, null}
    shown = list(islice(batch_source(plain, folder, SPEC, 0)(0), 4))
    for batch in (*shown, *held_out_batches(plain, folder, SPEC)):
        assert batch.cond["label"].tolist() == [wanted[image.numpy().tobytes()] for image in batch.x0]


def test_a_network_without_labels_is_told_none(folder: Path, config: TrainConfig) -> None:
    assert next(batch_source(config, folder, SPEC.told(()), 0)(0)).cond == {}


def test_only_the_label_can_be_left_out() -> None:
    history = Condition((1, 3), "float32", (), None)
    both = replace(SPEC, conditions={**SPEC.conditions, "history": history})
    assert set(spec_of_network("none", both).conditions) == {"history"}
    assert set(spec_of_network("auto", both).conditions) == {"label", "history"}


def test_data_that_lack_values_have_a_mask(tmp_path: Path, config: TrainConfig) -> None:
    """x holds 0 where there is no value, and `present` says so, in batches of a training and in those held out."""
    spec = DataSpec((2,), None, None, {}, kind="points", masked=True)
    x = np.array([[i, 0] for i in range(1, 31)], dtype=np.float32)
    present = np.array([[1, i % 2] for i in range(1, 31)], dtype=np.uint8)
    examples = [Example(f"{i:016x}", {"x": x[i], "present": present[i]}) for i in range(30)]
    index = write_shards(tmp_path / "shards", spec, {"train": examples}, ShardConfig(20, 5, 40))
    assert index.spec == spec
    plain = replace(config, hold_out=6)
    for batch in (next(batch_source(plain, index.folder, spec, 0)(0)), *held_out_batches(plain, index.folder, spec)):
        assert batch.mask is not None
        assert batch.mask.dtype == torch.float32
        assert batch.mask.tolist() == [[1.0, float(value % 2)] for value in batch.x0[:, 0].tolist()]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_rows_of_the_processes_are_the_batch_of_one(folder: Path, config: TrainConfig, count: int) -> None:
    whole = batch_source(config, folder, SPEC, 0)(3)
    cut = [batch_source(config, folder, SPEC, n, Share(n, count))(3) for n in range(count)]
    for one, *parts in islice(zip(whole, *cut, strict=True), 9):
        assert torch.equal(torch.cat([part.x0 for part in parts]), one.x0)
        assert torch.equal(torch.cat([part.cond["label"] for part in parts]), one.cond["label"])
        assert {len(part) for part in parts} == {12 // count}
