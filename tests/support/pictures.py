"""Pictures of every kind, good and bad, for the tests of the data's way; and stages run in a folder of one's own."""

import io
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.kinds.manifest import Manifest, read_manifest
from pipelines.kinds.pictures.contract.config import PicturesContract
from pipelines.kinds.pictures.rows.rules import Rules
from pipelines.kinds.pictures.sources import ImageFolder
from pipelines.kinds.quarantine import read_quarantine
from pipelines.kinds.split import PictureSplit
from pipelines.partitions.config import PartitionConfig
from pipelines.paths import Paths
from pipelines.shards.archive import ShardConfig
from pipelines.stages import prepare, shard, validate
from tests.support.drift import DRIFT

RULES = Rules(
    size=(8, 8),
    channels="rgb",
    fit="crop",
    filter="box",
    background=(255, 255, 255),
    min_side=4,
    max_pixels=1_000_000,
    max_bytes=1_000_000,
)
FOLDER = ImageFolder(
    kind="image_folder",
    path="raw",
    labels="folders",
    resolution=8,
    channels="rgb",
    fit="crop",
    filter="box",
    background=(255, 255, 255),
    min_side=4,
    max_megapixels=1.0,
    max_megabytes=1.0,
    clusters=None,
)
CONTRACT = PicturesContract(
    min_train_images=1,
    min_test_images=0,
    min_train_images_per_class=0,
    min_test_images_per_class=0,
    max_class_imbalance=100.0,
    max_quarantined_share=0.5,
    max_duplicate_share=0.5,
    max_near_duplicate_share=0.5,
    max_flat_share=0.5,
    min_mean_level=0.0,
    max_mean_level=255.0,
    rows_named=3,
    drift=DRIFT,
)
SHARDS = ShardConfig(examples_per_shard=20, examples_per_block=6, shuffle_examples=1000)
SUITE = Path(__file__).parents[2] / "pipelines" / "kinds" / "pictures" / "contract" / "suite.json"


def file_bytes(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=format, **options)
    return stream.getvalue()


def noise(seed: int, side: int = 12, channels: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random levels [side, side, channels], or [side, side] for one channel."""
    levels = np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)
    return levels[:, :, 0] if channels == 1 else levels


def png(seed: int, side: int = 12, channels: int = 3) -> bytes:
    return file_bytes(Image.fromarray(noise(seed, side, channels)), "PNG")


def brighter(data: bytes, by: int) -> bytes:
    """The same picture with another file and other pixels."""
    levels = np.asarray(Image.open(io.BytesIO(data))).astype(np.int64)
    return file_bytes(Image.fromarray((levels * (100 - by) // 100 + by).astype(np.uint8)), "PNG")


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose head promises side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class Project:
    """A project's folder in which the stages of the data can be run."""

    def __init__(self, root: Path, **source: Any) -> None:
        self.paths = Paths.of(root)
        self.source: Any = replace(FOLDER, **source)
        self.split = PictureSplit(seed=0, test_fraction=0.25, near_duplicates="together")
        self.contract = CONTRACT
        self.examples: int | None = None
        self.shards = SHARDS
        self.raw = root / "raw"
        (root / "pipelines").mkdir(exist_ok=True)
        self.suite = self.paths.suite("pictures")
        self.suite.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SUITE, self.suite)

    @property
    def params(self) -> Any:
        return SimpleNamespace(
            kind="pictures",
            source=self.source,
            split=self.split,
            contract=self.contract,
            partition=PartitionConfig(self.examples),
            shard=self.shards,
            runtime=SimpleNamespace(workers=0, runner="local"),
        )

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.paths.manifest)

    def prepare(self) -> Manifest:
        prepare.run(self.params, self.paths, None)  # type: ignore[arg-type]
        return self.manifest

    def validate(self) -> None:
        validate.run(self.params, self.paths, None)  # type: ignore[arg-type]

    def shard(self) -> None:
        shard.run(self.params, self.paths, None)  # type: ignore[arg-type]

    def reasons(self) -> dict[str, str]:
        """Why each quarantined file was, by its name."""
        return {line["source"]: line["reason"] for line in read_quarantine(self.paths.quarantine)}
