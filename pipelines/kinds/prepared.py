"""From what became of each datum of a source to the manifest: keys, labels, sides, rows, counts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ddpm_core.spec import DataSpec
from pipelines.kinds.manifest import Counts, Manifest, Row
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.split import SplitConfig, SplitName, split_of


@dataclass(frozen=True)
class Accepted:
    """A datum that can be used."""

    name: str
    class_name: str | None
    split: SplitName | None  # where its source says so itself
    source_sha256: str
    content_sha256: str
    data: Any  # as it will be kept
    columns: Mapping[str, Any] = field(default_factory=dict)  # of its row, those that its kind adds
    told: Mapping[str, str] = field(default_factory=dict)  # the class of each attribute that is known
    fingerprint: bytes = b""  # by which its kind finds near duplicates


@dataclass(frozen=True)
class Prepared:
    """What became of a source."""

    manifest: Manifest
    rejected: list[Rejected]
    groups: Mapping[str, str] = field(default_factory=dict)  # of near duplicates, by the digests of their contents


def no_groups(_fingerprints: Mapping[str, bytes]) -> Mapping[str, str]:
    """For data in which near duplicates are not looked for."""
    return {}


def assemble(
    outcomes: Iterable[Accepted | Rejected],
    keep: Callable[[str, int, Accepted], tuple[str, str]],
    row_type: type[Row],
    spec: DataSpec,
    config: SplitConfig,
    empty_folders: tuple[str, ...] = (),
    find_groups: Callable[[Mapping[str, bytes]], Mapping[str, str]] = no_groups,
) -> Prepared:
    """`keep` is called for each datum that can be used, with its key and its label (-1: none), in the order of the
    source. It writes the datum to disk and gives the path of its file, below the folder, and the file's SHA-256.

    The side of equal contents is their source's word where it has one, train where that disagrees with itself, else the
    split's rule. They never lie on both sides. Nor do near duplicates: of the fingerprints by
    the digests of contents `find_groups` gives, for each that has a near duplicate, the digest that its group goes by.
    """
    rows: list[Row] = []
    rejected: list[Rejected] = []
    copies: Counter[str] = Counter()
    classes = _places(spec.classes)
    attributes = {name: _places(of.classes) for name, of in spec.attributes.items()}
    said: dict[str, SplitName | None] = {}  # by its source, of each key
    fingerprints: dict[str, bytes] = {}
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
            continue
        start, digest = outcome.source_sha256[:16], outcome.content_sha256
        key = f"{start}-{copies[start]}" if copies[start] else start
        copies[start] += 1
        label = -1 if outcome.class_name is None else classes[outcome.class_name]
        path, sha256 = keep(key, label, outcome)
        said[key], fingerprints[digest] = outcome.split, outcome.fingerprint
        row = row_type(
            key=key,
            path=path,
            label=label,
            class_name=outcome.class_name or "",
            split="",
            sha256=sha256,
            source_sha256=outcome.source_sha256,
            content_sha256=digest,
            source=outcome.name,
            told={
                name: places[outcome.told[name]] if name in outcome.told else -1 for name, places in attributes.items()
            },
            **outcome.columns,
        )
        rows.append(row)
    groups = find_groups(fingerprints)
    sides: dict[str, SplitName] = {}
    for row in rows:
        digest = groups.get(row.content_sha256, row.content_sha256)
        side = said[row.key] or split_of(digest, config)
        sides[digest] = "train" if "train" in (side, sides.get(digest, side)) else "test"
    rows = [replace(row, split=sides[groups.get(row.content_sha256, row.content_sha256)]) for row in rows]
    counts = Counts(found=len(rows) + len(rejected), accepted=len(rows), quarantined=len(rejected))
    return Prepared(Manifest(sorted(rows, key=lambda row: row.key), spec, counts, empty_folders), rejected, groups)


def _places(classes: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(classes)}
