"""Which data are kept from training: a function of a seed and of their content, so that adding data moves none."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, not_negative, open_fraction

SplitName = Literal["train", "test"]
SIDES: dict[str, SplitName] = {
    "train": "train", "test": "test", "validation": "test", "valid": "test", "val": "test", "dev": "test",
}  # fmt: skip
"""The side of data that lie in a file or folder of such a name, where a source goes by names."""


@dataclass(frozen=True)
class SplitConfig(Config):
    """The share of the data that is held out, and the seed that chooses them."""

    seed: int
    test_fraction: float

    __checks__: ClassVar[Checks] = {"seed": not_negative, "test_fraction": open_fraction}


@dataclass(frozen=True)
class PictureSplit(SplitConfig):
    """`together`: near duplicates lie on one side. `ignore`: they are not looked for."""

    near_duplicates: Literal["together", "ignore"]


def split_of(content_sha256: str, config: SplitConfig) -> SplitName:
    """The side of a datum, by SHA-256(seed, digest of its content) alone.

    Neither its name, nor its class, nor its neighbours count: copies, whatever they are called, lie on one side.
    """
    digest = hashlib.sha256(f"{config.seed}:{content_sha256}".encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
    return "test" if drawn < config.test_fraction else "train"
