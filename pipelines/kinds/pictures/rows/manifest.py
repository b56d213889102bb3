"""The manifest: one row of a Parquet file for each picture of the data set. The only importer of pyarrow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import IntegrityError
from ddpm_core.files import atomic_path, json_bytes
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    import pandas as pd

_METADATA_KEY = b"ddpm"


@dataclass(frozen=True)
class Row:
    """One accepted picture."""

    key: str  # the first 16 hex of source_sha256, `-n` for the n-th copy
    path: str  # below data/images
    label: int  # -1 where there are no labels
    class_name: str
    split: str
    width: int
    height: int
    mode: str
    sha256: str  # of the file that prepare wrote
    source_sha256: str  # of the bytes that the source gave
    pixels_sha256: str  # of the pixels as prepared
    mean: float  # of the levels 0 to 255, as are the next three
    std: float
    min: int
    max: int
    source: str  # the name it had


@dataclass(frozen=True)
class Counts:
    """in = accepted + quarantined."""

    found: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class Manifest:
    """The rows, in the order of their keys, and what holds for all of them."""

    rows: Sequence[Row]
    spec: DataSpec
    counts: Counts
    empty_folders: tuple[str, ...] = ()  # of classes, without a picture; they are no classes of the spec

    def of_split(self, split: str) -> list[Row]:
        return [row for row in self.rows if row.split == split]

    def frame(self) -> "pd.DataFrame":
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows], columns=[field.name for field in fields(Row)])


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; equal rows give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    metadata = {
        "spec": manifest.spec.to_dict(),
        "counts": asdict(manifest.counts),
        "empty_folders": list(manifest.empty_folders),
    }
    schema = pa.schema(
        [pa.field(field.name, kinds[field.type], nullable=False) for field in fields(Row)],  # type: ignore[index]
        metadata={_METADATA_KEY: json_bytes(metadata)},
    )
    columns = [[getattr(row, field.name) for row in manifest.rows] for field in fields(Row)]
    table = pa.Table.from_arrays(
        [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest that `write_manifest` wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mend = "`dvc checkout --force data/manifest.parquet` brings the recorded bytes back; `ddpm prepare` writes it anew"
    if not path.is_file():
        raise IntegrityError(f"{path}: there must be a manifest, but the file is missing; {mend}")
    try:
        table = pq.read_table(path)
        metadata: Mapping[str, Any] = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        columns = table.to_pydict()
        rows = [Row(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path}: must be a manifest that prepare wrote, but {error!r}; {mend}") from error
    return Manifest(
        rows=rows,
        spec=DataSpec.from_dict(metadata["spec"]),
        counts=Counts(**metadata["counts"]),
        empty_folders=tuple(metadata.get("empty_folders", ())),
    )
