"""The data that a variant is calibrated on: the first of the train split, and no more is read than holds them."""

from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import IntegrityError
from pipelines.shards.archive import read_index, read_split
from pipelines.variants.probes import first_data
from tests.support.sharded import TRAIN, written


@pytest.mark.parametrize("count", [1, 20, 21, TRAIN, TRAIN + 1])
def test_the_first_data_are_the_first_of_the_split(tmp_path: Path, count: int) -> None:
    folder = written(tmp_path / "shards")
    whole, first = read_split(folder, "train"), first_data(folder, count)
    assert first.keys == whole.keys[:count]
    assert first.arrays.keys() == whole.arrays.keys()
    for name, array in whole.arrays.items():
        assert np.array_equal(first.arrays[name], array[:count])


def test_only_the_shards_that_hold_them_are_read(tmp_path: Path) -> None:
    folder = written(tmp_path / "shards")
    for shard in read_index(folder).shards("train")[2:]:
        (folder / shard.name).write_bytes(b"damaged")
    assert len(first_data(folder, 40)) == 40
    with pytest.raises(IntegrityError):
        first_data(folder, 41)
