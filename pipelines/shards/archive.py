"""WebDataset shards: tars of blocks of pictures, with an index that knows the SHA-256 of each.

A sample of a tar is a block of pictures, because one member a picture reads ten times slower:

    <nnnnnn>.images.npy    uint8 [n, C, H, W]
    <nnnnnn>.labels.npy    int64 [n], -1 where a picture has no label
    <nnnnnn>.keys.json     the n keys

No tar carries a time, a user or a path, so that equal pictures give equal bytes. Every shard is read whole, its digest
is compared with the index, and those very bytes are decoded: what was damaged on disk never reaches a network.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
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
    "Sample",
    "Shard",
    "ShardConfig",
    "ShardIndex",
    "Split",
    "read_index",
    "read_shard",
    "read_split",
    "write_shards",
]

_MEMBERS = ("images.npy", "labels.npy", "keys.json")

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """One picture on its way into a shard."""

    key: str
    image: Images  # [C, H, W]
    label: int


@dataclass(frozen=True)
class Split:
    """A whole split in memory."""

    images: Images  # [N, C, H, W]
    labels: Labels  # [N]
    keys: list[str]


def write_shards(
    folder: Path, spec: DataSpec, splits: Mapping[str, Iterable[Sample]], config: ShardConfig
) -> ShardIndex:
    """Pack the splits into tars, in the order given, and write the index last; the folder is replaced as a whole."""
    with atomic_folder(folder) as temporary:
        listed: dict[str, list[dict[str, Any]]] = {}
        class_counts: dict[str, dict[str, int]] = {}
        for split, samples in sorted(splits.items()):
            counts = dict.fromkeys(spec.classes, 0)
            listed[split] = [
                _write_shard(temporary / f"{split}-{number:05d}.tar", part, config.images_per_block)
                for number, part in enumerate(
                    _in_parts(_checked(samples, spec, counts, split), config.images_per_shard)
                )
            ]
            class_counts[split] = counts
        atomic_write_bytes(
            temporary / INDEX_NAME, json_bytes(index_value(spec, config.shuffle_images, listed, class_counts))
        )
    return read_index(folder)


def _checked(samples: Iterable[Sample], spec: DataSpec, counts: dict[str, int], split: str) -> Iterator[Sample]:
    """Pass the samples on, counting classes, and refuse what does not fit the spec."""
    for sample in samples:
        if sample.image.shape != spec.shape or sample.image.dtype != np.uint8:
            raise DataError(
                f"{split} picture {sample.key}: must be uint8 of shape {spec.shape}, got {sample.image.dtype} of shape "
                f"{sample.image.shape}; run `ddpm prepare` again"
            )
        if spec.classes:
            counts[spec.classes[sample.label]] += 1
        yield sample


def _in_parts(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    for sample in samples:
        part.append(sample)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _write_shard(path: Path, samples: list[Sample], images_per_block: int) -> dict[str, Any]:
    from webdataset.writer import TarWriter

    stream = io.BytesIO()
    with TarWriter(stream, user="", group="", mode=0o644, mtime=0, encoder=False) as tar:
        for number, start in enumerate(range(0, len(samples), images_per_block)):
            block = samples[start : start + images_per_block]
            tar.write(
                {
                    "__key__": f"{number:06d}",
                    "images.npy": _npy(np.stack([sample.image for sample in block])),
                    "labels.npy": _npy(np.array([sample.label for sample in block], dtype=np.int64)),
                    "keys.json": json.dumps([sample.key for sample in block]).encode(),
                }
            )
    data = stream.getvalue()
    path.write_bytes(data)
    return {"name": path.name, "sha256": sha256_bytes(data), "bytes": len(data), "count": len(samples)}


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def read_split(folder: Path, split: str) -> Split:
    """Every picture of a split, in the order of the shards, each shard verified."""
    index = read_index(folder)
    shards = index.shards(split)
    parts = [read_shard(index, shard) for shard in tracked(shards, f"read {split}", "shards", total=len(shards))]
    if not parts:
        empty = np.zeros((0, *index.spec.shape), dtype=np.uint8)
        return Split(empty, np.zeros(0, dtype=np.int64), [])
    return Split(
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        keys=[key for part in parts for key in part.keys],
    )


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
    blocks = [_decode_block(sample, path, mend) for sample in _tar_samples(path, data)]
    images = np.concatenate([block.images for block in blocks])
    if len(images) != shard.count or images.shape[1:] != index.spec.shape:
        raise IntegrityError(
            f"{path}: must hold {shard.count} pictures of shape {index.spec.shape}, but holds {len(images)} of shape "
            f"{images.shape[1:]}; {mend}"
        )
    return Split(
        images=images,
        labels=np.concatenate([block.labels for block in blocks]),
        keys=[key for block in blocks for key in block.keys],
    )


def _tar_samples(path: Path, data: bytes) -> Iterator[dict[str, Any]]:
    """The samples of a tar by WebDataset's own iterators, fed with bytes: no address is opened, no command run."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    source = [{"url": path.name, "stream": io.BytesIO(data)}]
    members = tar_file_expander(source, select_files=lambda name: name.split(".", 1)[-1] in _MEMBERS)
    yield from group_by_keys(members)


def _decode_block(sample: Mapping[str, Any], path: Path, mend: str) -> Split:
    missing = [member for member in _MEMBERS if member not in sample]
    if missing:
        raise IntegrityError(f"{path}: block {sample['__key__']} lacks {', '.join(missing)}; {mend}")
    try:
        images = np.load(io.BytesIO(sample["images.npy"]), allow_pickle=False)
        labels = np.load(io.BytesIO(sample["labels.npy"]), allow_pickle=False)
        keys = json.loads(sample["keys.json"])
    except (ValueError, EOFError) as error:
        raise IntegrityError(f"{path}: block {sample['__key__']} cannot be decoded ({error}); {mend}") from error
    if not len(images) == len(labels) == len(keys):
        raise IntegrityError(
            f"{path}: block {sample['__key__']} must hold as many pictures as labels and keys, but holds "
            f"{len(images)}, {len(labels)} and {len(keys)}; {mend}"
        )
    return Split(images, labels, keys)
