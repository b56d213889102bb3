"""WebDataset shards: tars of blocks of examples, with an index that knows the SHA-256 of each.

A sample of a tar is a block of examples, because one member an example reads ten times slower:

    <nnnnnn>.x.npy         the data as they are kept, [n, *shape]: uint8 where they have levels, else float32
    <nnnnnn>.NAME.npy      each condition of the DataSpec by its name, [n, *its shape]
    <nnnnnn>.present.npy   of masked data alone: uint8 [n, *shape], 1 where there is a value; x is 0 where there is none
    <nnnnnn>.keys.json     the n keys

No tar carries a time, a user or a path, so that equal data give equal bytes. Every shard is read whole, its digest
is compared with the index, and those very bytes are decoded: what was damaged on disk never reaches a network.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_folder, atomic_write_bytes, json_bytes, sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.runtime.progress import tracked
from pipelines.shards.index import INDEX_NAME, Shard, ShardConfig, ShardIndex, index_value, mending, read_index

__all__ = [
    "PRESENT",
    "Arrays",
    "Example",
    "Shard",
    "ShardConfig",
    "ShardIndex",
    "Split",
    "read_index",
    "read_shard",
    "read_split",
    "write_shards",
]

X = "x"
PRESENT = "present"
_KEYS = "keys.json"

Arrays = dict[str, NDArray[Any]]
"""The data, as `x`, their conditions by name, and `present` of masked data, all with the same first axis."""


@dataclass(frozen=True)
class Example:
    """One datum on its way into a shard: its arrays by name, without a first axis for the batch."""

    key: str
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Split:
    """A whole split, or a part of it, in memory."""

    arrays: Arrays
    keys: list[str]

    @property
    def x(self) -> NDArray[Any]:
        return self.arrays[X]

    @property
    def cond(self) -> Arrays:
        """The conditions alone."""
        return {name: array for name, array in self.arrays.items() if name not in (X, PRESENT)}

    @property
    def present(self) -> NDArray[np.uint8] | None:
        """Where there are values, 1; None for data that lack none."""
        return self.arrays.get(PRESENT)

    def __len__(self) -> int:
        return len(self.x)


def arrays_of(spec: DataSpec) -> dict[str, tuple[tuple[int, ...], str]]:
    """The shape and type that each named array of such data has, of one datum."""
    return {
        X: (spec.shape, spec.dtype),
        **{name: (of.shape, of.dtype) for name, of in spec.conditions.items()},
        **({PRESENT: (spec.shape, "uint8")} if spec.masked else {}),
    }


def rows_of(arrays: Mapping[str, NDArray[Any]], rows: Any) -> Arrays:
    """These rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def joined(parts: Sequence[Mapping[str, NDArray[Any]]], spec: DataSpec) -> Arrays:
    """Arrays one after the other, of the right shape and type even where there are none."""
    return {
        name: np.concatenate([np.zeros((0, *shape), dtype), *(part[name] for part in parts)])
        for name, (shape, dtype) in arrays_of(spec).items()
    }


def filled(count: int, parts: Iterable[Mapping[str, NDArray[Any]]], spec: DataSpec) -> Arrays:
    """Arrays of `count` rows from parts one after the other, of which one at a time is in memory."""
    arrays = {name: np.empty((count, *shape), dtype) for name, (shape, dtype) in arrays_of(spec).items()}
    start = 0
    for part in parts:
        end = start + len(part[X])
        for name, array in arrays.items():
            array[start:end] = part[name]
        start = end
        del part  # before the next is read
    return arrays


def write_shards(
    folder: Path, spec: DataSpec, splits: Mapping[str, Iterable[Example]], config: ShardConfig
) -> ShardIndex:
    """Pack the splits into tars, in the order given, and write the index last; the folder is replaced as a whole."""
    with atomic_folder(folder) as temporary:
        listed = {
            split: write_split(temporary, split, spec, examples, config) for split, examples in sorted(splits.items())
        }
        write_index(temporary, spec, config, listed)
    return read_index(folder)


def write_split(
    folder: Path, split: str, spec: DataSpec, examples: Iterable[Example], config: ShardConfig, *, digits: int = 5
) -> list[dict[str, Any]]:
    """The tars of one split, and what an index says of each."""
    parts = _in_parts(_checked(examples, spec, split), config.examples_per_shard)
    return [
        _write_shard(folder / f"{split}-{number:0{digits}d}.tar", part, config.examples_per_block)
        for number, part in enumerate(parts)
    ]


def write_index(folder: Path, spec: DataSpec, config: ShardConfig, listed: Mapping[str, list[dict[str, Any]]]) -> None:
    """The index of all tars of a folder, by split."""
    atomic_write_bytes(folder / INDEX_NAME, json_bytes(index_value(spec, config.shuffle_examples, listed)))


def _checked(examples: Iterable[Example], spec: DataSpec, split: str) -> Iterator[Example]:
    """Pass the examples on, and refuse what does not fit the spec."""
    wanted = arrays_of(spec)
    for example in examples:
        found = {name: (array.shape, str(array.dtype)) for name, array in example.arrays.items()}
        if found != wanted:
            raise DataError(f"{split} {example.key}: must be {wanted}, got {found}; run `ddpm prepare` again")
        yield example


def _in_parts(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    part: list[Example] = []
    for example in examples:
        part.append(example)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _write_shard(path: Path, examples: list[Example], per_block: int) -> dict[str, Any]:
    from webdataset.writer import TarWriter

    stream = io.BytesIO()
    with TarWriter(stream, user="", group="", mode=0o644, mtime=0, encoder=False) as tar:
        for number, start in enumerate(range(0, len(examples), per_block)):
            block = examples[start : start + per_block]
            arrays = {
                f"{name}.npy": _npy(np.stack([each.arrays[name] for each in block])) for name in examples[0].arrays
            }
            tar.write({"__key__": f"{number:06d}", **arrays, _KEYS: json.dumps([each.key for each in block]).encode()})
    data = stream.getvalue()
    path.write_bytes(data)
    return {"name": path.name, "sha256": sha256_bytes(data), "bytes": len(data), "count": len(examples)}


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def read_split(folder: Path, split: str) -> Split:
    """Every example of a split, in the order of the shards, each shard verified; beside it one shard is in memory."""
    index = read_index(folder)
    shards = index.shards(split)
    keys: list[str] = []

    def arrays_in(shard: Shard) -> Arrays:
        part = read_shard(index, shard)
        keys.extend(part.keys)
        return part.arrays

    parts = map(arrays_in, tracked(shards, f"read {split}", "shards", total=len(shards)))
    return Split(filled(index.count(split), parts, index.spec), keys)


def read_shard(index: ShardIndex, shard: Shard) -> Split:
    """One shard: its bytes are read once, checked against the index, and decoded."""
    path = index.folder / shard.name
    mend = mending(index.folder)
    if not path.is_file():
        raise IntegrityError(f"{path}: the index lists this shard, but the file is missing; {mend}")
    data = path.read_bytes()
    found = sha256_bytes(data)
    if found != shard.sha256:
        raise IntegrityError(
            f"{path}: its SHA-256 must be {shard.sha256} ({shard.bytes} bytes), as {INDEX_NAME} says, but it is "
            f"{found} ({len(data)} bytes): the shard was damaged or replaced; {mend}"
        )
    names = arrays_of(index.spec)
    blocks = [_decode_block(sample, list(names), path, mend) for sample in _tar_samples(path, data, list(names))]
    read = {name: np.concatenate([block.arrays[name] for block in blocks]) for name in names if blocks}
    wanted = {name: ((shard.count, *shape), dtype) for name, (shape, dtype) in names.items()}
    if {name: (array.shape, str(array.dtype)) for name, array in read.items()} != wanted:
        holds = {name: (array.shape, str(array.dtype)) for name, array in read.items()}
        raise IntegrityError(f"{path}: must hold {wanted}, but holds {holds}; {mend}")
    return Split(read, [key for block in blocks for key in block.keys])


def _tar_samples(path: Path, data: bytes, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The samples of a tar by WebDataset's own iterators, fed with bytes: no address is opened, no command run."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    source = [{"url": path.name, "stream": io.BytesIO(data)}]
    members = {_KEYS, *(f"{name}.npy" for name in names)}
    yield from group_by_keys(tar_file_expander(source, select_files=lambda name: name.split(".", 1)[-1] in members))


def _decode_block(sample: Mapping[str, Any], names: Sequence[str], path: Path, mend: str) -> Split:
    missing = [member for member in (*(f"{name}.npy" for name in names), _KEYS) if member not in sample]
    if missing:
        raise IntegrityError(f"{path}: block {sample['__key__']} lacks {', '.join(missing)}; {mend}")
    try:
        arrays = {name: np.load(io.BytesIO(sample[f"{name}.npy"]), allow_pickle=False) for name in names}
        keys = json.loads(sample[_KEYS])
    except (ValueError, EOFError) as error:
        raise IntegrityError(f"{path}: block {sample['__key__']} cannot be decoded ({error}); {mend}") from error
    if set(map(len, arrays.values())) != {len(keys)}:
        counts = {name: len(array) for name, array in arrays.items()}
        raise IntegrityError(
            f"{path}: block {sample['__key__']} must hold as many data and conditions as its {len(keys)} keys, but "
            f"holds {counts}; {mend}"
        )
    return Split(arrays, keys)
