"""The manifest: one row of a Parquet file for each datum that can be used. The only importer of pyarrow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ddpm_core.errors import IntegrityError
from ddpm_core.files import atomic_path, json_bytes, sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.kinds import kind_of

_METADATA_KEY = b"ddpm"
_TOLD = "told"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One datum. A kind of data adds columns in a class derived from this one, of str, int or float."""

    key: str  # the first 16 hex of source_sha256, `-n` for the n-th copy
    path: str  # below data/prepared
    label: int  # -1 where there are no labels
    class_name: str
    split: str
    sha256: str  # of the file at `path`
    source_sha256: str  # of the bytes that the source gave
    content_sha256: str  # of the datum as prepared: equal ones have the same
    source: str  # the name it had
    told: Mapping[str, int] = field(default_factory=dict)  # the class of each attribute, -1 where it is not known

    def plain(self) -> dict[str, Any]:
        """All by name, each attribute under `told.NAME`."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != _TOLD}
        return {**values, **{f"{_TOLD}.{name}": value for name, value in self.told.items()}}


@dataclass(frozen=True)
class Counts:
    """in = accepted + quarantined."""

    found: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class Manifest:
    """The rows, in the order of their keys, and what holds for all of them."""

    rows: Sequence[Any]  # of the row type of the spec's kind
    spec: DataSpec
    counts: Counts
    empty_folders: tuple[str, ...] = ()  # of classes, without a datum; they are no classes of the spec

    def of_split(self, split: str) -> list[Any]:
        return [row for row in self.rows if row.split == split]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; equal rows give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row_type, types = kind_of(manifest.spec.kind).row_type(), {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns = {each.name: types[each.type] for each in fields(row_type) if each.name != _TOLD}  # type: ignore[index]
    columns |= {f"{_TOLD}.{name}": pa.int64() for name in manifest.spec.attributes}
    metadata = {
        "spec": manifest.spec.to_dict(),
        "counts": asdict(manifest.counts),
        "empty_folders": list(manifest.empty_folders),
    }
    schema = pa.schema(
        [pa.field(name, type_, nullable=False) for name, type_ in columns.items()],
        metadata={_METADATA_KEY: json_bytes(metadata)},
    )
    rows = [row.plain() for row in manifest.rows]
    values = [pa.array([row[column.name] for row in rows], type=column.type) for column in schema]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_arrays(values, schema=schema), temporary, compression="zstd")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest that `write_manifest` wrote; its rows are of the type of the kind that its spec names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mend = _mending("data/manifest.parquet")
    if not path.is_file():
        raise IntegrityError(f"{path}: there must be a manifest, but the file is missing; {mend}")
    try:
        table = pq.read_table(path)
        metadata: Mapping[str, Any] = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        spec = DataSpec.from_dict(metadata["spec"])
        row_type = kind_of(spec.kind).row_type()
        rows = [row_type(**_gathered(row)) for row in table.to_pylist()]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path}: must be a manifest that prepare wrote, but {error!r}; {mend}") from error
    return Manifest(
        rows=rows,
        spec=spec,
        counts=Counts(**metadata["counts"]),
        empty_folders=tuple(metadata.get("empty_folders", ())),
    )


def _gathered(row: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `Row.plain`."""
    start = f"{_TOLD}."
    told = {name.removeprefix(start): value for name, value in row.items() if name.startswith(start)}
    return {**{name: value for name, value in row.items() if not name.startswith(start)}, _TOLD: told}


def read_file(folder: Path, row: Row) -> bytes:
    """What the file of a row holds, if it is what prepare wrote; `folder` is data/prepared."""
    path, mend = folder / row.path, _mending("data/prepared")
    if not path.is_file():
        raise IntegrityError(f"{path}: the manifest lists this file, but it is missing; {mend}")
    data = path.read_bytes()
    if (found := sha256_bytes(data)) != row.sha256:
        raise IntegrityError(
            f"{path}: its SHA-256 must be {row.sha256}, as the manifest says, but it is {found}; {mend}"
        )
    return data


def _mending(place: str) -> str:
    return f"`dvc checkout --force {place}` brings the recorded bytes back; `ddpm prepare` writes them anew"
