"""Small shards of pictures that carry their own number."""

from pathlib import Path

import numpy as np

from ddpm_core.spec import labelled
from pipelines.kinds.pictures.rows.examples import example
from pipelines.shards.archive import Example, ShardConfig, write_shards

SPEC = labelled((1, 4, 4), (-1.0, 1.0), 256, ("x", "y", "z"))
TRAIN, TEST = 103, 11


def samples(count: int, start: int = 0) -> list[Example]:
    """So many, from a number on."""
    return [
        example(f"{number:016x}", np.full((1, 4, 4), number % 256, np.uint8), number % 3, SPEC)
        for number in range(start, start + count)
    ]


def written(folder: Path, shuffle_examples: int = 45) -> Path:
    splits = {"train": samples(TRAIN), "test": samples(TEST, TRAIN)}
    write_shards(folder, SPEC, splits, ShardConfig(20, 6, shuffle_examples))
    return folder
