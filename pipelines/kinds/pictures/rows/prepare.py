"""Pictures of one size from what a source holds: decoded, made equal, and written as PNG."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.files import sha256_bytes
from pipelines.kinds.pictures.rows.decode import (
    decode_with_sides,
    encode_png,
    fit_pixels,
    on_background,
    premultiplied,
)
from pipelines.kinds.pictures.rows.likeness import fingerprint, near_duplicates
from pipelines.kinds.pictures.rows.row import PictureRow
from pipelines.kinds.pictures.rows.rules import MODES, File, Member, Pixels, Rules, SourcePicture
from pipelines.kinds.prepared import Accepted, Prepared, assemble, no_groups
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.split import PictureSplit
from pipelines.runtime.progress import tracked
from pipelines.runtime.worker_pool import Died, map_in_workers, plain

if TYPE_CHECKING:
    from pipelines.kinds.pictures.sources import SourceConfig

_CHUNK = 16  # pictures a message to a worker: fewer cost more in passing them than in the work

log = logging.getLogger(__name__)


def prepare(source: "SourceConfig", split: PictureSplit, folder: Path, root: Path, workers: int) -> Prepared:
    """Write each picture that can be used to `folder`/<label, or all>/<key>.png."""
    rules = source.rules()
    listing = source.listing(root)
    if rules.clusters is not None and listing.classes:
        raise ParamsError(
            f"source.clusters: must be null where the pictures have labels, got {rules.clusters} beside "
            f"{len(listing.classes)} classes; clusters stand for labels where there are none"
        )
    log.info("found %d pictures, %d other files left out by rule", len(listing.found), listing.ignored)

    def keep(key: str, label: int, picture: Accepted) -> tuple[str, str]:
        path = f"{'all' if label < 0 else label}/{key}.png"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(picture.data)
        return path, sha256_bytes(picture.data)

    outcomes = outcomes_of(listing.found, rules, bool(listing.classes), workers)
    outcomes = tracked(outcomes, "prepare", "pictures", total=len(listing.found))
    look = near_duplicates if split.near_duplicates == "together" else no_groups
    spec = rules.spec(listing.classes, listing.attributes)
    prepared = assemble(outcomes, keep, PictureRow, spec, split, listing.empty, look)
    groups = prepared.groups
    rows = [replace(row, group=groups.get(row.content_sha256, "")[:16]) for row in prepared.manifest.rows]
    return replace(prepared, manifest=replace(prepared.manifest, rows=rows))


def outcomes_of(
    pictures: Sequence[SourcePicture], rules: Rules, labelled: bool, workers: int
) -> Iterator[Accepted | Rejected]:
    """What becomes of each picture, in order. Files are decoded in processes of their own."""
    work = partial(outcome_of, rules=rules, labelled=labelled)
    if all(isinstance(found.content, Pixels) for found in pictures):
        yield from map(work, pictures)
        return
    done = map_in_workers([plain(work)] * workers, pictures, chunk=_CHUNK)
    for found, outcome in zip(pictures, done, strict=True):
        yield Rejected(found.name, "the process that decoded it died") if isinstance(outcome, Died) else outcome


def outcome_of(found: SourcePicture, rules: Rules, labelled: bool) -> Accepted | Rejected:
    """What becomes of one picture, decoded in this process."""
    data: bytes | None = None
    try:
        data = bytes_of(found.content, rules)
        if labelled and found.class_name is None:
            raise DataError("lies outside of the class folders")
        if isinstance(found.content, Pixels):
            levels = np.frombuffer(data, dtype=np.uint8).reshape(found.content.shape)
            height, width, _ = found.content.shape
            return _accepted(found, fit_pixels(levels, rules), (width, height), data, rules)
        return _accepted(found, *decode_with_sides(data, rules), data, rules)
    except DataError as error:
        return Rejected(found.name, str(error)) if data is None else Rejected.of(found.name, str(error), data)


def bytes_of(content: Pixels | File | Member, rules: Rules) -> bytes:
    """As its source has it; DataError says why not."""
    return content.data if isinstance(content, Pixels) else content.read(rules.max_bytes)


def _accepted(
    found: SourcePicture, pixels: NDArray[np.uint8], sides: tuple[int, int], data: bytes, rules: Rules
) -> Accepted:
    seen = pixels
    spread = pixels.astype(np.float64).std()
    if rules.channels == "rgba":  # the mean is of what is seen, and flat is what is flat in each channel
        seen = on_background(premultiplied(pixels), rules.background)
        spread = pixels.astype(np.float64).std(axis=(1, 2)).max()
    levels = seen.astype(np.float64)
    return Accepted(
        name=found.name,
        class_name=found.class_name,
        split=found.split,
        source_sha256=sha256_bytes(data),
        content_sha256=pixels_digest(pixels),
        data=encode_png(pixels),
        fingerprint=fingerprint(seen),
        told=found.told,
        columns={
            "width": pixels.shape[2],
            "height": pixels.shape[1],
            "mode": MODES[rules.channels],
            "mean": round(float(levels.mean()), 6),
            "std": round(float(spread), 6),
            "min": int(seen.min()),
            "max": int(seen.max()),
            "found_width": sides[0],
            "found_height": sides[1],
            "group": "",
        },
    )


def pixels_digest(pixels: NDArray[np.uint8]) -> str:
    """What two pictures that look the same have in common, whatever files they came in."""
    return sha256_bytes(repr(pixels.shape).encode() + pixels.tobytes())
