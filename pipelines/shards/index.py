"""The index of a folder of shards: which tars there are, with the SHA-256, bytes and count of each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ddpm_core.checks import Checks, Config, at_least_1
from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import json_bytes, sha256_bytes
from ddpm_core.spec import DataSpec

INDEX_NAME = "index.json"
FORMAT = 2


@dataclass(frozen=True)
class ShardConfig(Config):
    """How examples are packed, and how many of them the shuffled stream may hold in memory."""

    examples_per_shard: int
    examples_per_block: int
    shuffle_examples: int

    __checks__: ClassVar[Checks] = {
        "examples_per_shard": at_least_1,
        "examples_per_block": at_least_1,
        "shuffle_examples": at_least_1,
    }


@dataclass(frozen=True)
class Shard:
    """One tar of the index."""

    name: str
    sha256: str
    bytes: int
    count: int


@dataclass(frozen=True)
class ShardIndex:
    """What lies in a folder of shards. `digest` names all of it: equal digests, equal data in equal order."""

    folder: Path
    spec: DataSpec
    shuffle_examples: int
    splits: Mapping[str, tuple[Shard, ...]]
    digest: str

    def shards(self, split: str) -> tuple[Shard, ...]:
        if split not in self.splits:
            raise DataError(f"{self.folder}: a split must be one of {', '.join(sorted(self.splits))}, got {split!r}")
        return self.splits[split]

    def count(self, split: str) -> int:
        return sum(shard.count for shard in self.shards(split))

    def without_last(self, split: str, number: int) -> "ShardIndex":
        """The same, but as if the last so many examples of a split were not in its shards."""
        kept = []
        for shard in reversed(self.shards(split)):
            gone = min(number, shard.count)
            number -= gone
            if shard.count > gone:
                kept.append(replace(shard, count=shard.count - gone))
        return replace(self, splits={**self.splits, split: tuple(reversed(kept))})


def mending(folder: Path) -> str:
    """What to do when a folder of shards is not as it was written."""
    return (
        f"`dvc checkout --force {folder}` brings the recorded bytes back; `dvc repro --force --single-item shard` "
        "writes them anew"
    )


def index_value(spec: DataSpec, shuffle_examples: int, listed: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What index.json says, its own digest included."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "spec": spec.to_dict(),
        "shuffle_examples": shuffle_examples,
        "splits": {
            split: {"count": sum(shard["count"] for shard in shards), "shards": shards}
            for split, shards in listed.items()
        },
    }
    value["digest"] = _digest(value)
    return value


def _digest(index: Mapping[str, Any]) -> str:
    return sha256_bytes(json_bytes({key: part for key, part in index.items() if key != "digest"}))


def read_index(folder: Path) -> ShardIndex:
    """The index of a folder of shards, after checking that it is the text that was written."""
    path = folder / INDEX_NAME
    mend = mending(folder)
    if not path.is_file():
        raise IntegrityError(f"{path}: there must be an index of shards, but the file is missing; {mend}")
    try:
        value = json.loads(path.read_bytes())
        sound = value["digest"] == _digest(value) and value["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path}: cannot be read as an index of shards ({error!r}); {mend}") from error
    if not sound:
        raise IntegrityError(
            f"{path}: its own digest must fit its text and its format must be {FORMAT}; the file was changed or comes "
            f"from another version; {mend}"
        )
    return ShardIndex(
        folder=folder,
        spec=DataSpec.from_dict(value["spec"]),
        shuffle_examples=value["shuffle_examples"],
        splits={split: tuple(Shard(**shard) for shard in part["shards"]) for split, part in value["splits"].items()},
        digest=value["digest"],
    )
