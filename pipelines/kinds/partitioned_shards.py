"""The shards of one partition: what a worker of stage shard does."""

from dataclasses import asdict, dataclass
from pathlib import Path

from ddpm_core.files import atomic_write_json, json_bytes, sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Row, read_partition
from pipelines.partitions.store import PartitionStore, code_digest
from pipelines.shards import archive
from pipelines.shards.archive import ShardConfig, write_split

LISTED = "listed.json"
_NAMES = ("path", "source")  # columns of a row that are no part of its example


@dataclass(frozen=True)
class Packed:
    """Where the shards of a partition lie in the store, and how many classes they mix."""

    key: str
    classes: int


@dataclass(frozen=True)
class PartitionShards:
    """The work on one partition of the manifest, by its name."""

    manifest: Path
    prepared: Path
    spec: DataSpec
    config: ShardConfig
    store: PartitionStore
    code: str

    def __call__(self, partition: str) -> Packed:
        rows = read_partition(self.manifest, partition, kind_of(self.spec.kind).row_type())
        key = self._key(rows)
        if self.store.find(key) is None:
            self._pack(key, rows)
        return Packed(key, len({row.label for row in rows}))

    def _pack(self, key: str, rows: list[Row]) -> None:
        with self.store.adding(key) as folder:
            listed = {}
            for split in ("test", "train"):
                own = [row for row in rows if row.split == split]
                examples = kind_of(self.spec.kind).examples(self.prepared, own, self.spec)
                listed[split] = write_split(folder, split, self.spec, examples, self.config, digits=3)
            atomic_write_json(folder / LISTED, listed)

    def _key(self, rows: list[Row]) -> str:
        """Of all that the bytes of the shards depend on."""
        packing = (self.config.examples_per_shard, self.config.examples_per_block)
        described = [{name: value for name, value in asdict(row).items() if name not in _NAMES} for row in rows]
        return sha256_bytes(json_bytes([self.code, packing, self.spec.to_dict(), described]))


def code_of(spec: DataSpec) -> str:
    """Of the code that packs such data."""
    own = Path(__file__).parent
    files = [Path(__file__), *Path(archive.__file__).parent.glob("*.py"), *(own / spec.kind / "rows").glob("*.py")]
    return code_digest(files, ("numpy", "webdataset"))
