"""Stage evaluate: samples through the exported bundle, measured beside real images.

What ships is what is judged: the pictures come from out/bundle by the sampler that `ddpm sample` and the service use.
"""

import io
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm_core.bundle import Bundle
from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.errors import IntegrityError
from ddpm_core.files import atomic_folder, atomic_write_bytes, atomic_write_json, sha256_bytes
from ddpm_core.metrics import measure
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.memorisation import Nearest, nearest
from ddpm_core.spec import DataSpec
from pipelines.paths import Paths
from pipelines.serving.sampler import Sampler
from pipelines.tools.decode import grid
from pipelines.tools.features import (
    CLASSIFIER_NAME,
    Extractor,
    classifier_extractor,
    extract,
    inception_score,
    kernel_distance,
    open_extractors,
    versions,
)
from pipelines.tools.reference_store import Reference, read_reference
from pipelines.tools.shards import Split, read_index, read_split

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Sample and measure; write out/metrics.json, out/record.json and out/samples."""
    config: EvaluateConfig = params.evaluate
    make_repeatable(params.runtime.threads)
    device = pick_device(params.runtime.device)
    index, reference = read_index(paths.shards), read_reference(paths.reference)
    sampler = Sampler.open(paths.bundle, device=params.runtime.device, threads=params.runtime.threads)
    bundle = sampler.bundle
    if reference.content["data"] != index.digest:
        raise IntegrityError(
            f"out/reference must be about the data in data/shards (digest {index.digest}), it is about "
            f"{reference.content['data']}; run `ddpm reference` again"
        )
    train, test = read_split(paths.shards, "train"), read_split(paths.shards, "test")
    n = len(test.images) if config.n == "test" else config.n
    labels = measure.asked_labels(test.labels, n, config.seed) if bundle.conditional else np.full(n, -1)
    seeds = np.arange(config.seed, config.seed + n, dtype=np.int64)
    recipe = sampler.recipe(steps=config.steps, guidance=config.guidance)
    log.info("sampling %d pictures through the bundle, %d network evaluations", n, recipe.cost(n))
    images = sampler.sample(
        [int(label) if bundle.conditional else None for label in labels],
        seeds.tolist(),
        steps=config.steps,
        guidance=config.guidance,
        batch_size=config.batch_size,
        progress=True,
    )
    facts = reference.content
    extractors = open_extractors(
        reference.files, facts["classifier"]["used"], facts["efficientnet_side"], index.spec, device
    )
    copied, unseen = nearest(images, train.images), nearest(test.images, train.images)
    metrics: dict[str, float] = {"n": n, "n_heldout": len(test.images), "n_train": len(train.images)}
    metrics.update(measure.copies(copied, unseen, config.copy_quantile, config.copy_ratio))
    metrics.update(measure.pixel_faults(images, test.images, _top(index.spec)))
    left_out: dict[str, str] = {}
    for extractor in extractors:
        found, reasons = _in_features(extractor, images, test, reference, index.spec, config, device)
        metrics.update(found)
        left_out.update(reasons)
    metrics.update(_label_measures(reference, bundle, images, labels, index.spec, device))
    conditions = {
        "n": n,
        "labels": sha256_bytes(labels.astype("<i8").tobytes()),
        "conditional": bundle.conditional,
        "classes": len(index.spec.classes),
        "distances": [extractor.names.distance for extractor in extractors],
        "extractors": [extractor.identity() for extractor in extractors],
        "classifier": dict(reference.content["classifier"]),
        "reference": reference.digest,
        "data": index.digest,
        "settings": asdict(config),
        "sampler": asdict(recipe.sampler),
        "guidance": asdict(recipe.guidance),
        "rounding": "rint and clip",
        "versions": versions(),
        "not_measured": left_out,
    }
    provenance = {
        "bundle": bundle.digest,
        "bundle_provenance": dict(bundle.provenance),
        "images_sha256": sha256_bytes(np.ascontiguousarray(images).tobytes()),
        "devices": {"sampler": sampler.device, "features": device.type},
        "threads": params.runtime.threads,
    }
    _write_samples(paths, images, labels, seeds, train, copied, index.spec, config)
    atomic_write_json(paths.record, {"conditions": conditions, "provenance": provenance})
    atomic_write_json(paths.metrics, measure.rounded(metrics))
    for name, value in sorted(metrics.items()):
        log.info("%-34s %.5g", name, value)
    for name, reason in left_out.items():
        log.warning("%s was not measured: %s", name, reason)
    tracker.publish(paths, params, "evaluate")


def _top(spec: DataSpec) -> int:
    return (spec.levels or 256) - 1


def _in_features(
    extractor: Extractor,
    images: Images,
    test: Split,
    reference: Reference,
    spec: DataSpec,
    config: EvaluateConfig,
    device: torch.device,
) -> tuple[dict[str, float], dict[str, str]]:
    """The measures that one extractor gives, and those that it cannot, each with the reason."""
    names = extractor.names
    seen = extract(extractor, images, config.batch_size, device, "samples")
    real, test_logits = reference.real(extractor.name)
    metrics = measure.distances(names.distance, seen.features, real, config.floor_draws, config.seed)
    metrics.update(
        measure.reach(names.distance, seen.features, real, test.labels, config.coverage_k, len(spec.classes))
    )
    reasons = {}
    fewest = min(len(images), len(real.test_rows))
    if fewest >= config.kid_subset_size:
        metrics[names.kernel], metrics[f"{names.kernel}_std"] = kernel_distance(
            seen.features, real.test_rows, config.kid_subsets, config.kid_subset_size, config.seed
        )
    else:
        reasons[names.kernel] = (
            f"it takes evaluate.kid_subset_size = {config.kid_subset_size} samples and as many unseen real images, "
            f"there are {fewest}"
        )
    if fewest >= config.is_splits:
        metrics[names.score], metrics[f"{names.score}_std"] = inception_score(
            seen.logits, config.is_splits, config.seed
        )
        metrics[f"{names.score}_real"], _ = inception_score(test_logits, config.is_splits, config.seed)
    else:
        reasons[names.score] = f"it takes evaluate.is_splits = {config.is_splits} samples, there are {fewest}"
    return metrics, reasons


def _label_measures(
    reference: Reference, bundle: Bundle, images: Images, labels: Labels, spec: DataSpec, device: torch.device
) -> dict[str, float]:
    """How the classifier calls the samples, where there is one and labels were asked for; a weak one is asked too."""
    facts, weights = reference.content["classifier"], reference.files.get(CLASSIFIER_NAME)
    if weights is None:
        return {}
    metrics = {"accuracy_heldout": float(facts["accuracy"])}
    if bundle.conditional:
        called = extract(classifier_extractor(weights, spec, device), images, 256, device, "labels").logits
        metrics.update(measure.accuracy(labels, called, len(spec.classes)))
    return metrics


def _write_samples(
    paths: Paths,
    images: Images,
    labels: Labels,
    seeds: Labels,
    train: Split,
    copied: Nearest,
    spec: DataSpec,
    config: EvaluateConfig,
) -> None:
    """The grid, all pictures with labels and seeds, and what the report shows beside them."""
    closest = np.argsort(copied.first, kind="stable")[: config.neighbours]
    spread = np.arange(min(config.neighbours, len(images)))
    scale = max(1, 56 // max(spec.shape[1:]))
    with atomic_folder(paths.samples) as folder:
        atomic_write_bytes(folder / "grid.png", _class_grid(images, labels, spec, config.grid_columns, scale))
        atomic_write_bytes(folder / "images.npz", npz({"images": images, "labels": labels, "seeds": seeds}))
        atomic_write_bytes(
            folder / "real.png", _class_grid(train.images, train.labels, spec, config.grid_columns, scale)
        )
        for name, rows in (("closest", closest), ("first", spread)):
            pairs = np.stack([images[rows], train.images[copied.index[rows]]], axis=0).reshape(-1, *spec.shape)
            atomic_write_bytes(folder / f"neighbours_{name}.png", grid(pairs, len(rows), scale))
        listed = [
            {
                "seed": int(seeds[i]),
                "key": train.keys[int(copied.index[i])],
                "distance": round(float(copied.first[i]), 3),
            }
            for i in closest
        ]
        atomic_write_json(folder / "neighbours.json", listed)


def _class_grid(images: Images, labels: Labels, spec: DataSpec, columns: int, scale: int) -> bytes:
    """A row a class (black where it has no more), or a square of the first pictures where there are no labels."""
    classes = spec.classes if (labels >= 0).all() else ()
    groups = measure.by_class(labels, classes, columns)
    if not classes:
        return grid(images[groups[0][1]], columns, scale)
    canvas = np.zeros((len(groups) * columns, *spec.shape), dtype=np.uint8)
    for row, (_, places) in enumerate(groups):
        canvas[row * columns : row * columns + len(places)] = images[places]
    return grid(canvas, columns, scale)


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as an .npz; numpy gives each member one fixed date, so the bytes repeat."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
