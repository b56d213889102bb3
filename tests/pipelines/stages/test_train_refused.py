"""Stage train refuses before work is lost, and says what must hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import DataError, NonFiniteError, ParamsError
from pipelines.kinds.pictures.rows.examples import example
from pipelines.stages import train
from pipelines.training.batches import spec_of_network
from pipelines.training.setup import check_parts
from tests.support.small_training import SPEC, TRAIN, Recorder, params, pictures, project


def test_labels_asked_for_where_there_are_none_are_refused() -> None:
    with pytest.raises(ParamsError, match="labels needs data with classes, and these have none; set it to auto"):
        spec_of_network("labels", SPEC.told(()))


def test_a_size_that_does_not_divide_is_refused_before_any_step(tmp_path: Path) -> None:
    odd = replace(SPEC, shape=(1, 10, 10))
    paths = project(tmp_path, list(pictures(40, 10)), odd)
    with pytest.raises(ParamsError, match=r"height and width must be multiples of 4 .* got 10 x 10; resize"):
        train.run(params(), paths, Recorder())
    assert not paths.checkpoints.exists()


def test_pictures_that_are_all_alike_are_refused(tmp_path: Path) -> None:
    blank = [example(f"{i:016x}", np.full((1, 8, 8), 7, np.uint8), 0, SPEC) for i in range(20)]
    with pytest.raises(DataError, match="the pictures must differ, but every pixel of the first 16 is 7"):
        train.run(params(), project(tmp_path, blank), Recorder())


def test_pixels_above_the_levels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a pixel must be from 0 to 15, got 200; run `ddpm prepare` again"):
        train.run(params(), project(tmp_path, spec=replace(SPEC, levels=16)), Recorder())


def test_fewer_pictures_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 60 examples, fewer than one batch of 64; lower the batch size"):
        train.run(params(batch_size=64), project(tmp_path), Recorder())


def test_a_rate_that_blows_up_stops_with_exit_5_and_writes_nothing(tmp_path: Path) -> None:
    paths = project(tmp_path)
    with pytest.raises(NonFiniteError, match="must be finite") as caught:
        train.run(params(lr=1e30, grad_clip=0.0, warmup_steps=0), paths, Recorder())
    assert caught.value.exit_code == 5
    assert not paths.weights.exists()


def test_a_batch_that_cannot_be_cut_among_the_processes_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"batch_size: must be a multiple of .* = 3 x 1, got 16"):
        check_parts(TRAIN, 3)
    check_parts(TRAIN, 4)
