"""Stage prepare: what the source holds becomes pictures of one size, a manifest, and a quarantine for the rest."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.files import atomic_folder, atomic_write_text, sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.kinds.facts import write_facts
from pipelines.kinds.pictures.rows.decode import decode, encode_png, fit_pixels
from pipelines.kinds.pictures.rows.manifest import Counts, Manifest, Row, write_manifest
from pipelines.kinds.pictures.rows.rules import File, Found, Listing, Member, Pixels, Rules
from pipelines.kinds.split import SplitConfig, SplitName, split_of
from pipelines.paths import Paths
from pipelines.runtime.progress import tracked
from pipelines.runtime.worker_pool import Died, map_in_workers, plain

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

_KEPT_BYTES = 1_000_000  # a rejected file up to this size is copied into the quarantine
_KEPT_FILES = 1_000
_CHUNK = 16  # pictures a message to a worker: fewer cost more in passing them than in the work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accepted:
    """A picture as it will lie on disk."""

    png: bytes
    source_sha256: str
    pixels_sha256: str
    mean: float
    std: float
    min: int
    max: int


@dataclass(frozen=True)
class Rejected:
    """A picture that cannot be used, and why. The digest is None where its bytes could not be read."""

    reason: str
    source_sha256: str | None
    data: bytes | None  # for the quarantine, where it is small


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Read the source, write data/images, data/manifest.parquet, data/source.json and data/quarantine."""
    rules = params.source.rules()
    listing = params.source.listing(paths.root)
    log.info("found %d pictures, %d other files left out by rule", len(listing.found), listing.ignored)
    spec = rules.spec(listing.classes)
    with atomic_folder(paths.images) as images, atomic_folder(paths.quarantine) as quarantine:
        outcomes = _outcomes(listing, rules, max(1, params.runtime.workers))
        progress = tracked(outcomes, "prepare", "pictures", total=len(listing.found))
        manifest, rejected = _sorted_out(listing, progress, spec, params.split, images)
        if not manifest.rows:
            raise DataError(
                f"source.path: {params.source.path} must hold at least one picture that can be used, but all "
                f"{len(listing.found)} were refused; the first: {listing.found[0].name}: {rejected[0][1].reason}"
            )
        _write_quarantine(quarantine, rejected)
    write_manifest(paths.manifest, manifest)
    write_facts(paths.source_facts, params.source.facts())
    for name in listing.empty:
        log.warning("class folder %s holds no picture, so it is no class of the data", name)
    for name, reason in [(found.name, outcome.reason) for found, outcome in rejected[:10]]:
        log.warning("quarantined %s: %s", name, reason)
    log.info(
        "%d pictures = %d accepted + %d quarantined (data/quarantine/quarantine.jsonl says why)",
        manifest.counts.found,
        manifest.counts.accepted,
        manifest.counts.quarantined,
    )


# ------------------------------------------------------------------------------------------- one picture at a time


def _outcomes(listing: Listing, rules: Rules, workers: int) -> Iterator[Accepted | Rejected]:
    """What becomes of each picture, in order. Files are decoded in processes of their own."""
    labelled = bool(listing.classes)
    work = partial(_outcome, rules=rules, labelled=labelled)
    if all(isinstance(found.content, Pixels) for found in listing.found):
        yield from map(work, listing.found)
        return
    for outcome in map_in_workers([plain(work)] * workers, listing.found, chunk=_CHUNK):
        if isinstance(outcome, Died):
            yield Rejected("the process that decoded it died", None, None)
        else:
            yield outcome


def _outcome(found: Found, rules: Rules, labelled: bool) -> Accepted | Rejected:
    data: bytes | None = None
    try:
        data = _bytes_of(found.content, rules)
        if labelled and found.class_name is None:
            raise DataError("lies outside of the class folders")
        if isinstance(found.content, Pixels):
            levels = np.frombuffer(data, dtype=np.uint8).reshape(found.content.shape)
            return _accepted(fit_pixels(levels, rules), data)
        return _accepted(decode(data, rules), data)
    except DataError as error:
        if data is None:
            return Rejected(str(error), None, None)
        return Rejected(str(error), sha256_bytes(data), data if len(data) <= _KEPT_BYTES else None)


def _bytes_of(content: Pixels | File | Member, rules: Rules) -> bytes:
    return content.data if isinstance(content, Pixels) else content.read(rules.max_bytes)


def _accepted(pixels: NDArray[np.uint8], data: bytes) -> Accepted:
    levels = pixels.astype(np.float64)
    return Accepted(
        png=encode_png(pixels),
        source_sha256=sha256_bytes(data),
        pixels_sha256=pixels_digest(pixels),
        mean=round(float(levels.mean()), 6),
        std=round(float(levels.std()), 6),
        min=int(pixels.min()),
        max=int(pixels.max()),
    )


def pixels_digest(pixels: NDArray[np.uint8]) -> str:
    """What two pictures that look the same have in common, whatever files they came in."""
    return sha256_bytes(repr(pixels.shape).encode() + pixels.tobytes())


# ------------------------------------------------------------------------------------------------- all of them


def _sorted_out(
    listing: Listing, outcomes: Iterable[Accepted | Rejected], spec: DataSpec, split: SplitConfig, images: Path
) -> tuple[Manifest, list[tuple[Found, Rejected]]]:
    """Write the accepted pictures and make their rows; collect the rest."""
    rejected: list[tuple[Found, Rejected]] = []
    taken: list[tuple[Found, Accepted, str]] = []
    seen: Counter[str] = Counter()
    for found, outcome in zip(listing.found, outcomes, strict=True):
        if isinstance(outcome, Rejected):
            rejected.append((found, outcome))
            continue
        key = outcome.source_sha256[:16]
        copy = seen[key]
        seen[key] += 1
        place = images / _path(found, spec, key if copy == 0 else f"{key}-{copy}")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(outcome.png)
        taken.append((found, outcome, place.stem))
    sides = _sides([(found, outcome) for found, outcome, _ in taken], split)
    rows = [_row(found, outcome, key, spec, sides[outcome.pixels_sha256]) for found, outcome, key in taken]
    counts = Counts(found=len(listing.found), accepted=len(rows), quarantined=len(rejected))
    return Manifest(sorted(rows, key=lambda row: row.key), spec, counts, listing.empty), rejected


def _sides(pictures: Sequence[tuple[Found, Accepted]], config: SplitConfig) -> Mapping[str, SplitName]:
    """The side of each set of equal pixels: its source's word where it has one, train where that disagrees with itself,
    else the split's rule. Equal pixels thus never lie on both sides."""
    sides: dict[str, SplitName] = {}
    for found, outcome in pictures:
        digest = outcome.pixels_sha256
        side = found.split or split_of(digest, config)
        sides[digest] = "train" if "train" in (side, sides.get(digest, side)) else "test"
    return sides


def _path(found: Found, spec: DataSpec, key: str) -> Path:
    return Path("all" if found.class_name is None else str(spec.classes.index(found.class_name)), f"{key}.png")


def _row(found: Found, accepted: Accepted, key: str, spec: DataSpec, side: SplitName) -> Row:
    return Row(
        key=key,
        path=_path(found, spec, key).as_posix(),
        label=-1 if found.class_name is None else spec.classes.index(found.class_name),
        class_name=found.class_name or "",
        split=side,
        width=spec.shape[2],
        height=spec.shape[1],
        mode=spec.mode,
        sha256=sha256_bytes(accepted.png),
        source_sha256=accepted.source_sha256,
        pixels_sha256=accepted.pixels_sha256,
        mean=accepted.mean,
        std=accepted.std,
        min=accepted.min,
        max=accepted.max,
        source=found.name,
    )


def _write_quarantine(folder: Path, rejected: Sequence[tuple[Found, Rejected]]) -> None:
    """quarantine.jsonl with a line for each rejected picture, and copies of the small ones, named by their digest."""
    lines = []
    kept = 0
    for found, outcome in rejected:
        copy = None
        if outcome.data is not None and kept < _KEPT_FILES:
            copy = f"{outcome.source_sha256}.bin"
            (folder / copy).write_bytes(outcome.data)
            kept += 1
        line = {"source": found.name, "sha256": outcome.source_sha256, "reason": outcome.reason, "copy": copy}
        lines.append(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
    atomic_write_text(folder / "quarantine.jsonl", "".join(lines))
