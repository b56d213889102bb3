"""The tables that the contract judges: files, the data themselves, classes, and the data set as a whole.

A manifest in partitions is read one partition at a time, and only the columns that the suite names are kept.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import sha256_bytes
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Manifest, Row, stored_bytes
from pipelines.kinds.together import earlier
from pipelines.runtime.progress import tracked

WHOLE = "whole"  # column `file` of a row whose file is what prepare wrote


def tables_of(
    manifest: Manifest,
    folder: Path,
    quarantined: Sequence[Mapping[str, Any]],
    expectations: Sequence[Mapping[str, Any]],
    named_by: Sequence[str],
) -> dict[str, Any]:
    """By name; that of the data has the name of their kind, and the columns that name its rows, `named_by`, or that its
    `expectations` are about. `folder` is data/prepared."""
    rows = _rows(manifest, folder, _asked_for(expectations), named_by)
    accepted, refused = len(manifest.rows), len(quarantined)
    return {
        "files": {
            "source": [*rows["source"], *(line["source"] for line in quarantined)],
            "reason": [*[""] * accepted, *(line["reason"] for line in quarantined)],
            "accepted": [*[True] * accepted, *[False] * refused],
        },
        manifest.spec.kind: rows,
        "classes": _classes(manifest),
        "data_set": [_data_set(manifest, refused)],
    }


class Kept(Sequence[Any]):
    """Those rows of a manifest for which `keep` is true; no list of them is made."""

    def __init__(self, rows: Sequence[Any], keep: Sequence[bool]) -> None:
        self._rows, self._keep = rows, keep

    def __len__(self) -> int:
        return sum(self._keep)

    def __iter__(self) -> Iterator[Any]:
        return compress(self._rows, self._keep)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


def _asked_for(expectations: Sequence[Mapping[str, Any]]) -> Callable[[str], bool]:
    """Whether expectations name a column, be it inside of a condition."""
    text = json.dumps(expectations)
    return lambda name: name in text


def _rows(
    manifest: Manifest, folder: Path, asked: Callable[[str], bool], named_by: Sequence[str]
) -> dict[str, Sequence[Any]]:
    """The manifest's rows, each with the state of its file and what it has in common with others."""
    digest_of = partial(_digest, folder) if manifest.partitions else cache(partial(_digest, folder))
    columns: dict[str, list[Any]] = {name: [] for name in named_by}
    state: list[str] = []
    contents, sides, labels = [], [], []
    numbers: dict[tuple[int, ...], int] = {}  # of each different label and attributes
    for row in tracked(manifest.rows, "validate", "examples", total=len(manifest.rows)):
        digest = digest_of(row.path)
        state.append((WHOLE if digest == row.sha256 else "changed") if digest else "missing")
        for name, value in row.plain().items():
            if name in named_by:
                columns[name].append(value)
            elif asked(name):
                columns.setdefault(name, []).append(sys.intern(value) if isinstance(value, str) else value)
        contents.append(row.content_sha256.encode())
        sides.append(row.split)
        labels.append(numbers.setdefault((row.label, *row.told.values()), len(numbers)))
    more = {} if not contents else _of_copies(np.array(contents), np.unique(sides, return_inverse=True)[1], labels)
    more |= kind_of(manifest.spec.kind).row_columns(manifest.rows)
    return {**columns, "file": state, **{name: values for name, values in more.items() if asked(name)}}


def _of_copies(contents: NDArray[Any], sides: Any, labels: Any) -> dict[str, Any]:
    """Of each row: how many of its content came before it, on how many sides they lie, how many labels they have."""
    content = np.unique(contents, return_inverse=True)[1]

    def different(values: NDArray[np.int64]) -> NDArray[np.int64]:
        base = values.max() + 1
        return np.bincount(np.unique(content * base + values) // base)[content]

    return {
        "earlier_copies": earlier(content),
        "sides": different(np.asarray(sides)),
        "labels_of_copies": different(np.asarray(labels)),
    }


def _digest(folder: Path, path: str) -> str:
    """Of what lies at a row's path, empty where there is nothing."""
    data = stored_bytes(folder, path)
    return "" if data is None else sha256_bytes(data)


def _classes(manifest: Manifest) -> list[dict[str, Any]]:
    """Of the label, then of each attribute, whose classes are named `colour=red`."""
    spec, rows = manifest.spec, manifest.rows
    counted = _counted(spec.classes, [row.label for row in rows], rows, "{}")
    for name, of in spec.attributes.items():
        counted += _counted(of.classes, [row.told[name] for row in rows], rows, f"{name}={{}}")
    return counted


def _counted(names: Sequence[str], values: Sequence[int], rows: Sequence[Row], shown: str) -> list[dict[str, Any]]:
    counts = Counter(zip(values, (row.split for row in rows), strict=True))
    totals = [counts[number, "train"] + counts[number, "test"] for number in range(len(names))]
    return [
        {
            "class_name": shown.format(name),
            "train": counts[number, "train"],
            "test": counts[number, "test"],
            "times_fewer": max(totals) / max(1, totals[number]),
        }
        for number, name in enumerate(names)
    ]


def _data_set(manifest: Manifest, quarantined: int) -> dict[str, Any]:
    counts, sides = manifest.counts, Counter(row.split for row in manifest.rows)
    off = abs(counts.found - counts.accepted - counts.quarantined)
    off += abs(counts.accepted - len(manifest.rows)) + abs(counts.quarantined - quarantined)
    return {
        "name": "data set",
        "train": sides["train"],
        "test": sides["test"],
        "unaccounted": off,
        "empty_class_folders": ", ".join(manifest.empty_folders),
        **kind_of(manifest.spec.kind).data_set_columns(manifest.rows),
    }
