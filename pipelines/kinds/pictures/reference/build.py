"""The reference of pictures: which feature extractors these data get, and what real images look like to them."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm_core.metrics.frechet import Gaussian, Moments, RealFeatures, distance, gaussian_of, subset_floor
from ddpm_core.metrics.labels import as_many_like, asked_labels
from ddpm_core.metrics.metric import rounded
from ddpm_core.spec import DataSpec
from pipelines.evaluation.reference import RealData
from pipelines.kinds.pictures.reference.classifier import train_classifier
from pipelines.kinds.pictures.reference.config import ReferenceConfig
from pipelines.kinds.pictures.reference.controls import changed_features, control_rows
from pipelines.kinds.pictures.reference.extractor import Extractor, Features, extract
from pipelines.kinds.pictures.reference.extractors import (
    CLASSIFIER_NAME,
    attribute_classes,
    classifier_bytes,
    classifier_extractor,
    open_extractors,
    read_extractor,
)
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.reference.store import features_file, kept_rows

log = logging.getLogger(__name__)

Look = Callable[[NDArray[np.uint8], str], Features]

_FLOOR_DRAWS, _FLOOR_SEED = 5, 0
BLOCK = 10_000  # training images whose features are held at once


def build(data: RealData) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Train the classifier, choose the extractors, run them over both splits: what reference.json says, and files."""
    config: ReferenceConfig = data.config
    spec, device = data.spec, data.device
    train, test = (ImageSplit.of(split, spec) for split in (data.train, data.test))
    files: dict[str, bytes] = {}
    classifier, weights = _classifier(config, spec, train, test, device)
    if weights is not None:
        files[CLASSIFIER_NAME] = weights
    for wanted in config.extractors:
        name, content = read_extractor(wanted, data.root)
        files[name] = content
    extractors = open_extractors(files, classifier["used"], config.efficientnet_side, spec, device)
    kept = kept_rows(train.labels, test.labels, config.features_kept)
    judged = kept[kept_rows(train.labels[kept], test.labels, config.judge_images)]
    changed = control_rows(judged, train.labels, test.labels, min(config.control_images, len(test.images)))
    listed, floors = [], {}
    for extractor in extractors:
        look = partial(_look, extractor, config.batch_size, device)
        rows = judged if extractor.judge_alone else kept
        real, logits = _real(look, train, test, rows, whole=not extractor.judge_alone)
        controls = changed_features(train.images[changed], spec.top, look)
        files[f"{extractor.name}.npz"] = features_file(real, logits, rows, controls)
        dims = int(real.test_rows.shape[1])
        listed.append({**extractor.identity(), "dims": dims, "judge_alone": extractor.judge_alone})
        if not extractor.judge_alone:
            floors.update(_floors(extractor.names.distance, real))
    for name, value in floors.items():
        log.info("%s: %.4g, real images against real images", name, value)
    about = {
        "classifier": classifier,
        "efficientnet_side": config.efficientnet_side,
        "extractors": listed,
        "batch_size": config.batch_size,
        "floors": rounded(floors),
        "control_rows": changed.tolist(),
        "versions": {"torch": torch.__version__.split("+")[0]},
    }
    return about, files


def _look(
    extractor: Extractor, batch_size: int, device: torch.device, images: NDArray[np.uint8], what: str
) -> Features:
    return extract(extractor, images, batch_size, device, what)


def _real(
    look: Look, train: ImageSplit, test: ImageSplit, rows: NDArray[np.int64], *, whole: bool
) -> tuple[RealFeatures, NDArray[np.float32]]:
    """Real images in an extractor's eyes, and the test split's logits; without `whole` it looks at these rows alone.

    The Gaussian is of all that it looked at.
    """
    if whole:
        gaussian, kept = gaussian_and_rows(lambda images: look(images, "train").features, train.images, rows)
    else:
        kept = look(train.images[rows], "train").features
        gaussian = gaussian_of(kept)
    test_seen = look(test.images, "test")
    return RealFeatures(gaussian, kept, train.labels[rows], test_seen.features, test.labels), test_seen.logits


def gaussian_and_rows(
    features_of: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8], rows: NDArray[np.int64]
) -> tuple[Gaussian, NDArray[np.float32]]:
    """The Gaussian of the features of all images, and the features of these rows. No more than a block is held."""
    seen = features_of(images[:BLOCK])
    moments, kept = Moments(seen.shape[1]), np.empty((len(rows), seen.shape[1]), seen.dtype)
    for start in range(0, len(images), BLOCK):
        seen = features_of(images[start : start + BLOCK]) if start else seen
        moments.update(seen)
        within = (rows >= start) & (rows < start + BLOCK)
        kept[within] = seen[rows[within] - start]
    return moments.gaussian(), kept


def _classifier(
    config: ReferenceConfig, spec: DataSpec, train: ImageSplit, test: ImageSplit, device: torch.device
) -> tuple[dict[str, Any], bytes | None]:
    """What is known of the in-domain classifier, and its file; no file where there is nothing to classify."""
    least = config.classifier.min_accuracy
    facts: dict[str, Any] = {"trained": False, "used": False, "accuracy": None, "min_accuracy": least}
    if reason := _nothing_to_classify(spec, train):
        log.info("no classifier: %s; features come from EfficientNet-Lite0", reason)
        return {**facts, "reason": reason}, None
    model = train_classifier(train.images, train.labels, spec, config.classifier, device, train.attributes)
    weights = classifier_bytes(model, config.classifier)
    extractor = classifier_extractor(weights, spec, device)
    seen = extract(extractor, test.images, config.batch_size, device, "held-out")
    accuracy = float((seen.logits.argmax(axis=1) == test.labels).mean())
    used = accuracy >= least
    reason = f"it calls {accuracy:.2%} of {len(test.labels)} unseen images by their label"
    reason += f", {'at least' if used else 'below'} reference.classifier.min_accuracy = {least:.2%}"
    log.info("classifier: %s", reason)
    if not used:
        log.warning("the classifier is too weak to measure with: features come from EfficientNet-Lite0")
    facts |= {"trained": True, "used": used, "accuracy": accuracy, "reason": reason}
    if test.attributes:
        facts["attributes"] = _attribute_accuracies(attribute_classes(weights, spec, seen.features), test)
    return facts, weights


def _attribute_accuracies(called: Mapping[str, NDArray[np.int64]], test: ImageSplit) -> dict[str, dict[str, Any]]:
    """Of each attribute how many unseen images it is known of, and the share of them that is called so."""
    found = {}
    for name, values in test.attributes.items():
        known = values >= 0
        right = float((called[name] == values)[known].mean()) if known.any() else None
        found[name] = {"known": int(known.sum()), "accuracy": right}
        log.info("classifier: attribute %s of %d unseen images: %s right", name, known.sum(), right)
    return found


def _nothing_to_classify(spec: DataSpec, train: ImageSplit) -> str:
    if not spec.classes or (train.labels < 0).any():
        return "the data have no labels"
    if len(spec.classes) < 2:
        return "the data have one class"
    return ""


def _floors(name: str, real: RealFeatures) -> dict[str, float]:
    """What as many real images as the test split has score: unseen ones to train, training ones to test."""
    test = gaussian_of(real.test_rows)
    asked = asked_labels(real.test_labels, len(real.test_labels), _FLOOR_SEED)
    n, _ = as_many_like(asked, real.train_labels)
    return {
        f"{name}_floor_train": distance(test, real.train),
        f"{name}_floor_test": subset_floor(
            real.train_rows, real.train_labels, asked[:n], test, _FLOOR_DRAWS, _FLOOR_SEED
        ),
    }
