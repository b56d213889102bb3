"""From partitions, each worked on by itself, to the manifest: what must be known of all data is put together here.

A finished partition is a folder of three files:

    data.tar         what its data were made into, a file a datum
    rows.parquet     what is known of each: the manifest's columns, and where its file begins in the tar
    rejected.jsonl   what could not be used and why

Only keys (a copy's number), sides (equal contents and near duplicates lie on one), groups of near duplicates and labels
depend on other partitions (together.py).
"""

import base64
import io
import json
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ddpm_core.files import atomic_folder, sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.kinds.manifest import TOLD, Counts, Manifest, Row, part_file, schema_of, write_head
from pipelines.kinds.prepared import Accepted
from pipelines.kinds.quarantine import KEPT_FILES, Rejected
from pipelines.kinds.split import SplitConfig
from pipelines.kinds.together import Alike, Together, together
from pipelines.partitions.store import PartitionStore, place_file

DATA, ROWS, REJECTED = "data.tar", "rows.parquet", "rejected.jsonl"
_OWN = ("source", "class_name", "side", "source_sha256", "content_sha256", "sha256")
_GROUP = "group"  # the column of near duplicates, of the kinds that look for any
_COPIES = 20  # of what a partition refused, at most so many are kept for the quarantine
_HEADER = 512  # bytes before a member's data in a tar


@dataclass(frozen=True)
class PartitionPlan:
    """A source cut into partitions, and the work on one of them.

    `work(store, alone)` gives a function from a part to its key in the store. It is called in worker processes;
    `alone`, in this one, where a worker died: then nothing that may end a process is done outside of one more.
    """

    ids: Sequence[str]
    parts: Sequence[Any]
    work: Callable[[PartitionStore, bool], Callable[[Any], str]]
    spec: DataSpec
    found: int
    ignored: int
    empty_folders: tuple[str, ...]
    alike: Alike | None = None  # None: near duplicates are not looked for


def write_partition(
    folder: Path,
    outcomes: Iterable[Accepted | Rejected],
    row_type: type[Row],
    ending: str,
    attributes: Sequence[str] = (),
) -> None:
    """The files of one partition; `data` of what was accepted are bytes."""
    types = {**dict.fromkeys(_OWN, str), "start": int, "size": int, "fingerprint": bytes, **_added(row_type)}
    types |= dict.fromkeys((f"{TOLD}.{name}" for name in attributes), str)
    columns: dict[str, list[Any]] = {name: [] for name in types}
    copies = 0
    with (
        tarfile.open(folder / DATA, "w", format=tarfile.USTAR_FORMAT) as tar,
        (folder / REJECTED).open("w", encoding="utf-8") as lines,
    ):
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, Rejected):
                kept = outcome.data if copies < _COPIES else None
                copies += kept is not None
                lines.write(_line(replace(outcome, data=kept)))
                continue
            info = tarfile.TarInfo(f"{number:06d}{ending}")
            info.size = len(outcome.data)
            start = tar.offset + _HEADER
            tar.addfile(info, io.BytesIO(outcome.data))
            row = {
                "source": outcome.name,
                "class_name": outcome.class_name or "",
                "side": outcome.split or "",
                "source_sha256": outcome.source_sha256,
                "content_sha256": outcome.content_sha256,
                "sha256": sha256_bytes(outcome.data),
                "start": start,
                "size": info.size,
                "fingerprint": outcome.fingerprint,
                **outcome.columns,
                **{f"{TOLD}.{name}": outcome.told.get(name, "") for name in attributes},
            }
            for name, values in columns.items():
                values.append(row[name])
    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64(), bytes: pa.binary()}
    table = pa.table({name: pa.array(values, type=arrow[types[name]]) for name, values in columns.items()})
    pq.write_table(table, folder / ROWS, compression="zstd")


def counted(places: Collection[Path]) -> tuple[Counts, list[Rejected]]:
    """What became of the data of finished partitions; with the bytes of as many refused as the quarantine keeps."""
    accepted = sum(pq.read_metadata(place / ROWS).num_rows for place in places)
    rejected = list(_first_copies(each for place in places for each in _read_rejected(place)))
    return Counts(found=accepted + len(rejected), accepted=accepted, quarantined=len(rejected)), rejected


def assemble(
    parts: Mapping[str, Path],
    folder: Path,
    manifest: Path,
    row_type: type[Row],
    plan: PartitionPlan,
    counts: Counts,
    config: SplitConfig,
) -> None:
    """Put the partitions' data into `folder`, each as `<id>.tar`, and write the manifest, a file a partition.

    The rows of a partition are in the order of their keys, which is no order of classes.
    """
    filled = [name for name, place in parts.items() if pq.read_metadata(place / ROWS).num_rows]
    known = together([parts[name] / ROWS for name in filled], config, plan.alike)
    schema = schema_of(row_type, plan.spec)
    begin = 0
    if manifest.is_file():  # of data in one piece
        manifest.unlink()
    with atomic_folder(manifest) as rows:
        for name in filled:
            place_file(parts[name] / DATA, folder / f"{name}.tar")
            table = pq.read_table(parts[name] / ROWS)
            end = begin + len(table)
            final = _final(name, table, known.part(begin, end), schema, plan.spec)
            pq.write_table(final, part_file(rows, name), compression="zstd")
            begin = end
        write_head(rows, Manifest((), plan.spec, counts, plan.empty_folders, tuple(filled)))


def _final(name: str, table: pa.Table, known: Together, schema: pa.Schema, spec: DataSpec) -> pa.Table:
    """The rows of one partition as the manifest has them."""
    columns = table.to_pydict()
    digests = columns["source_sha256"]
    copies = zip(digests, known.copies.tolist(), strict=True)
    columns["key"] = [f"{each[:16]}-{n}" if n else each[:16] for each, n in copies]
    places = zip(columns["start"], columns["size"], strict=True)
    columns["path"] = [f"{name}.tar#{start}+{size}" for start, size in places]
    columns["label"] = _numbered(columns["class_name"], spec.classes)
    for attribute, of in spec.attributes.items():
        columns[f"{TOLD}.{attribute}"] = _numbered(columns[f"{TOLD}.{attribute}"], of.classes)
    columns["split"] = ["train" if each else "test" for each in known.train.tolist()]
    if _GROUP in schema.names:
        columns[_GROUP] = [each.decode() for each in known.group.tolist()]
    found = pa.table({field.name: pa.array(columns[field.name], type=field.type) for field in schema}, schema=schema)
    return found.sort_by("key")


def _numbered(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The number of each class, -1 for an empty name."""
    numbers = {"": -1, **{name: number for number, name in enumerate(classes)}}
    return [numbers[name] for name in names]


def _added(row_type: type[Row]) -> dict[str, type]:
    """The columns that a kind adds to every row."""
    shared = {field.name for field in fields(Row)}
    return {field.name: field.type for field in fields(row_type) if field.name not in shared}  # type: ignore[misc]


def _line(rejected: Rejected) -> str:
    data = None if rejected.data is None else base64.b64encode(rejected.data).decode("ascii")
    return json.dumps({**asdict(rejected), "data": data}, ensure_ascii=True) + "\n"


def _read_rejected(place: Path) -> Iterator[Rejected]:
    with (place / REJECTED).open(encoding="utf-8") as lines:
        for line in lines:
            value = json.loads(line)
            data = None if value["data"] is None else base64.b64decode(value["data"])
            yield Rejected(**{**value, "data": data})


def _first_copies(rejected: Iterable[Rejected]) -> Iterator[Rejected]:
    """All, the first with their bytes."""
    kept = 0
    for each in rejected:
        kept += each.data is not None
        yield each if kept <= KEPT_FILES else replace(each, data=None)
