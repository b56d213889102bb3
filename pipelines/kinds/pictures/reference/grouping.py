"""Pictures without labels grouped by what EfficientNet-Lite0 sees: each row of the manifest gets a pseudo-class."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.pseudo_classes import with_pseudo_classes
from pipelines.kinds.manifest import Manifest, read_file
from pipelines.kinds.pictures.reference.clusters import Clusters
from pipelines.kinds.pictures.reference.extractor import extract
from pipelines.kinds.pictures.reference.extractors import efficientnet_extractor
from pipelines.kinds.pictures.rows.decode import decode_png

log = logging.getLogger(__name__)

Features = NDArray[np.float32]
Look = Callable[[NDArray[np.uint8]], Features]
"""Pictures [n, C, H, W] to features [n, D]."""

_SIDE, _BATCH, _AT_ONCE = 128, 16, 1_000
_FITTED = 10_000  # training pictures, spread over all, that the centres come from


def grouped(manifest: Manifest, folder: Path, clusters: int, look: Look | None = None) -> Manifest:
    """The manifest with a pseudo-class as the label of each picture; `folder` is data/prepared.

    The centres come from training pictures alone. A picture's class depends on the pictures, not on `runtime`: one
    thread of the CPU looks at them.
    """
    seen = look or _efficientnet()
    train = manifest.of_split("train")
    fitted = train[:: max(1, -(-len(train) // _FITTED))]
    features = np.concatenate(list(_features(fitted, folder, seen)))
    groups = Clusters.of(features, clusters)
    labels = dict(zip((row.key for row in fitted), groups.label(features).tolist(), strict=True))
    others = [row for row in manifest.rows if row.key not in labels]
    found = (label for part in _features(others, folder, seen) for label in groups.label(part).tolist())
    labels |= dict(zip((row.key for row in others), found, strict=True))
    rows = [replace(row, label=labels[row.key]) for row in manifest.rows]
    training = [row.label for row in rows if row.split == "train"]
    sizes = [training.count(label) for label in range(len(groups.centres))]
    log.info("%d clusters of %s training pictures", len(sizes), ", ".join(map(str, sizes)))
    return replace(manifest, rows=rows, spec=with_pseudo_classes(manifest.spec, sizes))


def _features(rows: Sequence[Any], folder: Path, look: Look) -> Iterator[Features]:
    for start in range(0, len(rows), _AT_ONCE):
        yield look(np.stack([decode_png(read_file(folder, row)) for row in rows[start : start + _AT_ONCE]]))


def _efficientnet() -> Look:
    make_repeatable(1)
    device = pick_device("cpu")
    extractor = efficientnet_extractor(_SIDE, device)
    return lambda pictures: extract(extractor, pictures, _BATCH, device, "clusters").features
