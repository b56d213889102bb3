"""Shards: what is written is read, and damage is found."""

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import DataError, IntegrityError, ParamsError
from ddpm_core.files import json_bytes, sha256_bytes
from ddpm_core.spec import labelled
from pipelines.shards import archive as shards
from pipelines.shards.archive import Example, ShardConfig, read_index, read_split, write_shards
from pipelines.shards.stream import stream
from tests.support.sharded import SPEC, TEST, TRAIN, samples, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("shards") / "windows")


def test_every_picture_comes_back_as_it_went_in(folder: Path) -> None:
    for split, expected in (("train", samples(TRAIN)), ("test", samples(TEST, TRAIN))):
        read = read_split(folder, split)
        assert read.keys == [sample.key for sample in expected]
        for name, dtype in (("x", np.uint8), ("label", np.int64)):
            assert np.array_equal(read.arrays[name], np.stack([sample.arrays[name] for sample in expected]))
            assert read.arrays[name].dtype == dtype


def test_a_split_is_read_with_little_more_memory_than_it_takes_itself(tmp_path: Path) -> None:
    spec = labelled((1, 64, 64), (-1.0, 1.0), 256, ())
    many = [Example(f"{n:016x}", {"x": np.full((1, 64, 64), n, np.uint8)}) for n in range(200)]
    write_shards(tmp_path / "m", spec, {"train": many}, ShardConfig(10, 5, 45))
    size = sum(sample.arrays["x"].nbytes for sample in many)
    read_split(tmp_path / "m", "train")  # what it imports is no part of it
    tracemalloc.start()
    try:
        read_split(tmp_path / "m", "train")
        assert size < tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()


def test_the_index_counts_what_is_there(folder: Path) -> None:
    index = read_index(folder)
    assert index.spec == SPEC
    assert (index.count("train"), index.count("test")) == (TRAIN, TEST)
    assert [shard.count for shard in index.shards("train")] == [20] * 5 + [3]
    assert all((folder / shard.name).stat().st_size == shard.bytes for shard in index.shards("train"))


def test_equal_pictures_give_equal_bytes(tmp_path: Path, folder: Path) -> None:
    again = written(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_another_picture_gives_another_digest(tmp_path: Path, folder: Path) -> None:
    changed = samples(TRAIN)
    changed[50].arrays["x"][0, 0, 0] ^= 1
    index = write_shards(tmp_path / "c", SPEC, {"train": changed, "test": samples(TEST, TRAIN)}, ShardConfig(20, 6, 45))
    assert index.digest != read_index(folder).digest


def test_an_empty_split_is_an_empty_split(tmp_path: Path) -> None:
    write_shards(tmp_path / "e", SPEC, {"train": samples(3), "test": []}, ShardConfig(20, 6, 45))
    assert read_split(tmp_path / "e", "test").x.shape == (0, 1, 4, 4)


def test_pictures_without_labels_need_no_classes(tmp_path: Path) -> None:
    spec = labelled((1, 4, 4), (-1.0, 1.0), 256, ())
    unlabelled = [Example(sample.key, {"x": sample.arrays["x"]}) for sample in samples(3)]
    write_shards(tmp_path / "u", spec, {"train": unlabelled}, ShardConfig(20, 6, 45))
    assert read_split(tmp_path / "u", "train").cond == {}


def test_a_picture_of_another_shape_is_refused(tmp_path: Path) -> None:
    odd = [Example("k", {"x": np.zeros((3, 4, 4), np.uint8), "label": np.int64(0)})]
    with pytest.raises(DataError, match=r"train k: must be .*\(1, 4, 4\).*, got .*\(3, 4, 4\)"):
        write_shards(tmp_path / "o", SPEC, {"train": odd}, ShardConfig(20, 6, 45))
    assert not (tmp_path / "o").exists()


def test_an_unknown_split_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match="a split must be one of test, train, got 'valid'"):
        read_split(folder, "valid")


@pytest.mark.parametrize("field", ["examples_per_shard", "examples_per_block", "shuffle_examples"])
def test_values_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ParamsError, match=f"{field}: must be at least 1, got 0"):
        ShardConfig(**{"examples_per_shard": 1, "examples_per_block": 1, "shuffle_examples": 1, field: 0})


# ------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("place", [0, 600, 5_000, -1])
def test_one_wrong_byte_is_found_and_the_shard_named(tmp_path: Path, place: int) -> None:
    path = written(tmp_path / "s") / "train-00002.tar"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    message = (
        "train-00002.tar: its SHA-256 must be .*damaged or replaced; `dvc checkout --force .*` brings the recorded"
    )
    with pytest.raises(IntegrityError, match=message):
        read_split(tmp_path / "s", "train")
    with pytest.raises(IntegrityError, match=message):
        list(itertools.islice(stream(tmp_path / "s", "train", 8, seed=0), 12))


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    (written(tmp_path / "s") / "test-00000.tar").unlink()
    with pytest.raises(
        IntegrityError, match=r"test-00000\.tar: the index lists this shard, but the file is missing; `dvc"
    ):
        read_split(tmp_path / "s", "test")


def test_a_changed_index_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "s") / "index.json"
    path.write_text(path.read_text().replace('"shuffle_examples": 45', '"shuffle_examples": 46'))
    with pytest.raises(
        IntegrityError, match=r"its own digest must fit its text .* the file was changed or comes from an"
    ):
        read_index(tmp_path / "s")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_index_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(IntegrityError, match="cannot be read as an index of shards"):
        read_index(tmp_path)


def test_a_missing_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="there must be an index of shards, but the file is missing"):
        read_index(tmp_path)


def forged(folder: Path, block: dict[str, bytes], count: int) -> Path:
    """A folder whose one shard holds this block, with an index that fits it."""
    from io import BytesIO

    from webdataset.writer import TarWriter

    stream = BytesIO()
    with TarWriter(stream, mtime=0, encoder=False) as tar:
        tar.write({"__key__": "000000", **block})
    data = stream.getvalue()
    folder.mkdir()
    (folder / "train-00000.tar").write_bytes(data)
    shard = {"name": "train-00000.tar", "sha256": sha256_bytes(data), "bytes": len(data), "count": count}
    index = {
        "format": 2,
        "spec": SPEC.to_dict(),
        "shuffle_examples": 5,
        "splits": {"train": {"count": count, "shards": [shard]}},
    }
    (folder / "index.json").write_bytes(json_bytes({**index, "digest": sha256_bytes(json_bytes(index))}))
    return folder


def test_a_shard_that_its_index_misjudges_is_told(tmp_path: Path) -> None:
    images, labels = shards._npy(np.zeros((2, 1, 4, 4), np.uint8)), shards._npy(np.zeros(2, np.int64))
    block = {"x.npy": images, "label.npy": labels, "keys.json": b'["a", "b"]'}
    cases = [
        (block, 3, "must hold .*3, 1, 4, 4.* but holds .*2, 1, 4, 4"),
        ({**block, "keys.json": b'["a"]'}, 2, "as its 1 keys, but holds .*2"),
        ({"x.npy": images, "keys.json": b"[]"}, 2, "block 000000 lacks label.npy"),
    ]
    for number, (content, count, message) in enumerate(cases):
        with pytest.raises(IntegrityError, match=message):
            read_split(forged(tmp_path / str(number), content, count), "train")


def test_a_pickle_in_a_shard_is_never_opened(tmp_path: Path) -> None:
    pickled = (
        np.lib.format.MAGIC_PREFIX
        + b"\x01\x00v\x00"
        + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117)
        + b"\n"
    )
    block = {"x.npy": pickled + b"cposix\nsystem\n", "label.npy": b"", "keys.json": b"[]", "evil.pkl": b"x"}
    with pytest.raises(IntegrityError, match=r"block 000000 cannot be decoded .*allow_pickle=False"):
        read_split(forged(tmp_path / "p", block, 1), "train")
