"""The manifest: one row for each datum that can be used, in a Parquet file.

Where the data were prepared in partitions, it is a folder with such a file for each of them, one of which is in memory
at a time. What holds for all rows is in the file's metadata, or in the folder's `_ddpm.json`, so that a partition that
did not change keeps its bytes.
"""

import json
import shutil
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import IntegrityError
from ddpm_core.files import atomic_path, atomic_write_json, json_bytes, sha256_bytes, sha256_file
from ddpm_core.spec import DataSpec
from pipelines.kinds import kind_of

if TYPE_CHECKING:
    import pyarrow as pa

_METADATA_KEY = b"ddpm"
_PLACE = "data/manifest.parquet"
HEAD = "_ddpm.json"  # what begins with _ is no data to those who read a folder of Parquet files
TOLD = "told"  # the start of the names of attributes' columns


@dataclass(frozen=True, kw_only=True)
class Row:
    """One datum. A kind of data adds columns in a class derived from this one, of str, int or float."""

    key: str  # the first 16 hex of source_sha256, `-n` for the n-th copy
    path: str  # below data/prepared; `file#start+size` where it is a part of a file
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
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != TOLD}
        return {**values, **{f"{TOLD}.{name}": value for name, value in self.told.items()}}


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
    partitions: tuple[str, ...] = ()  # their names, in the order of the rows; none where the data are in one piece

    def of_split(self, split: str) -> list[Any]:
        return [row for row in self.rows if row.split == split]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; equal rows give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row_type = kind_of(manifest.spec.kind).row_type()
    schema = schema_of(row_type, manifest.spec).with_metadata({_METADATA_KEY: json_bytes(_about(manifest))})
    rows = [row.plain() for row in manifest.rows]
    values = [pa.array([row[column.name] for row in rows], type=column.type) for column in schema]
    if path.is_dir():  # of data in partitions
        shutil.rmtree(path)
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_arrays(values, schema=schema), temporary, compression="zstd")


def _about(manifest: Manifest) -> dict[str, Any]:
    """What holds for all rows."""
    return {
        "spec": manifest.spec.to_dict(),
        "counts": asdict(manifest.counts),
        "empty_folders": list(manifest.empty_folders),
    }


def write_head(folder: Path, manifest: Manifest) -> None:
    """Beside the files of the partitions what holds for all of them; the manifest's rows are not looked at."""
    atomic_write_json(folder / HEAD, {**_about(manifest), "partitions": list(manifest.partitions)})


def part_file(folder: Path, partition: str) -> Path:
    return folder / f"{partition}.parquet"


def schema_of(row_type: type[Row], spec: DataSpec) -> "pa.Schema":
    """The columns."""
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns = {each.name: types[each.type] for each in fields(row_type) if each.name != TOLD}  # type: ignore[index]
    columns |= {f"{TOLD}.{name}": pa.int64() for name in spec.attributes}
    return pa.schema([pa.field(name, type_, nullable=False) for name, type_ in columns.items()])


def manifest_digest(path: Path) -> str:
    """Of the file, or of the names and the digests of all files in the folder."""
    if path.is_dir():
        found = {each.relative_to(path).as_posix(): each for each in path.rglob("*") if each.is_file()}
        return sha256_bytes(json_bytes({name: sha256_file(each) for name, each in found.items()}))
    return sha256_file(path)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest that `write_manifest` wrote; its rows are of the type of the kind that its spec names."""
    import pyarrow.parquet as pq

    if not path.exists():
        raise IntegrityError(f"{path}: there must be a manifest, but the file is missing; {_mending(_PLACE)}")
    with _reading(path):
        about: Mapping[str, Any]
        if path.is_dir():
            about = json.loads((path / HEAD).read_bytes())
        else:
            about = json.loads((pq.read_schema(path).metadata or {})[_METADATA_KEY])
        spec = DataSpec.from_dict(about["spec"])
        row_type, partitions = kind_of(spec.kind).row_type(), tuple(about.get("partitions", ()))
        rows: Sequence[Any]
        rows = _Parts(path, partitions, row_type) if path.is_dir() else _read_rows(path, row_type)
        return Manifest(rows, spec, Counts(**about["counts"]), tuple(about.get("empty_folders", ())), partitions)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever cannot be read from `path` as an error that says how to mend it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        text = f"{path}: must be a manifest that prepare wrote, but {error!r}; {_mending(_PLACE)}"
        raise IntegrityError(text) from error


def _read_rows(path: Path, row_type: type[Row]) -> list[Any]:
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    told = bool(rows) and any(name.startswith(f"{TOLD}.") for name in rows[0])
    return [row_type(**(_gathered(row) if told else row)) for row in rows]


def _gathered(row: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `Row.plain`."""
    start = f"{TOLD}."
    told = {name.removeprefix(start): value for name, value in row.items() if name.startswith(start)}
    return {**{name: value for name, value in row.items() if not name.startswith(start)}, TOLD: told}


class _Parts(Sequence[Any]):
    """The rows of a manifest in partitions, of which one is in memory at a time."""

    def __init__(self, folder: Path, partitions: Sequence[str], row_type: type[Row]) -> None:
        import pyarrow.parquet as pq

        self._folder, self._partitions, self._row_type = folder, partitions, row_type
        self._ends = list(accumulate(pq.read_metadata(part_file(folder, name)).num_rows for name in partitions))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Any]:
        for name in self._partitions:
            yield from read_partition(self._folder, name, self._row_type)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(islice(self, *index.indices(len(self))))
        place = range(len(self))[index]
        number = bisect_right(self._ends, place)
        rows = read_partition(self._folder, self._partitions[number], self._row_type)
        return rows[place - (self._ends[number - 1] if number else 0)]


def read_partition(folder: Path, partition: str, row_type: type[Row]) -> list[Any]:
    """The rows of one partition of a manifest."""
    path = part_file(folder, partition)
    with _reading(path):
        return _read_rows(path, row_type)


def read_file(folder: Path, row: Row) -> bytes:
    """What the file of a row holds, if it is what prepare wrote; `folder` is data/prepared."""
    path, mend = folder / row.path, _mending("data/prepared")
    data = stored_bytes(folder, row.path)
    if data is None:
        raise IntegrityError(f"{path}: the manifest lists this file, but it is missing; {mend}")
    if (found := sha256_bytes(data)) != row.sha256:
        raise IntegrityError(
            f"{path}: its SHA-256 must be {row.sha256}, as the manifest says, but it is {found}; {mend}"
        )
    return data


def stored_bytes(folder: Path, path: str) -> bytes | None:
    """What lies at the path of a row: a file, or a part of one (`file#start+size`); None where the file is missing."""
    name, _, part = path.partition("#")
    place = folder / name
    if not place.is_file():
        return None
    if not part:
        return place.read_bytes()
    start, _, size = part.partition("+")
    with place.open("rb") as file:
        file.seek(int(start))
        return file.read(int(size))


def _mending(place: str) -> str:
    return f"`dvc checkout --force {place}` brings the recorded bytes back; `ddpm prepare` writes them anew"
