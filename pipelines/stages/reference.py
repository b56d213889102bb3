"""Stage reference: which feature extractors these data get, and what real images look like to them."""

import logging
from typing import TYPE_CHECKING, Any

import torch

from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.errors import DataError
from ddpm_core.files import atomic_folder
from ddpm_core.metrics.frechet import distance, gaussian_of, subset_floor
from ddpm_core.metrics.labels import as_many_like, asked_labels
from ddpm_core.metrics.measure import RealFeatures, rounded
from ddpm_core.spec import DataSpec
from pipelines.paths import Paths
from pipelines.tools.classifier import train_classifier
from pipelines.tools.features import (
    CLASSIFIER_NAME,
    ReferenceConfig,
    classifier_bytes,
    classifier_extractor,
    extract,
    open_extractors,
    read_extractor,
)
from pipelines.tools.reference_store import features_file, real_features, write_reference
from pipelines.tools.shards import Split, read_index, read_split

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)

_FLOOR_DRAWS, _FLOOR_SEED = 5, 0


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Train the classifier, choose the extractors, run them over both splits; write out/reference."""
    config: ReferenceConfig = params.reference
    make_repeatable(params.runtime.threads)
    device = pick_device(params.runtime.device)
    index = read_index(paths.shards)
    train, test = read_split(paths.shards, "train"), read_split(paths.shards, "test")
    for name, split in (("train", train), ("test", test)):
        if len(split.images) < 2:
            raise DataError(
                f"a reference takes at least 2 images of each split, {name} has {len(split.images)}; give more "
                "pictures or another split.test_fraction"
            )
    files: dict[str, bytes] = {}
    classifier, found = _classifier(config, index.spec, train, test, device)
    if found is not None:
        files[CLASSIFIER_NAME] = found
    for wanted in config.extractors:
        name, weights = read_extractor(wanted, paths.root)
        files[name] = weights
    extractors = open_extractors(files, classifier["used"], config.efficientnet_side, index.spec, device)
    listed, floors = [], {}
    for extractor in extractors:
        seen = [
            extract(extractor, split.images, config.batch_size, device, name)
            for name, split in (("train", train), ("test", test))
        ]
        real = real_features(seen[0], train.labels, seen[1], test.labels, config.features_kept)
        files[f"{extractor.name}.npz"] = features_file(real, seen[1].logits)
        listed.append({**extractor.identity(), "dims": int(seen[0].features.shape[1])})
        floors.update(_floors(extractor.names.distance, real))
    content = {
        "data": index.digest,
        "counts": {"train": len(train.images), "test": len(test.images)},
        "classifier": classifier,
        "efficientnet_side": config.efficientnet_side,
        "extractors": listed,
        "batch_size": config.batch_size,
        "floors": rounded(floors),
        "versions": {"torch": torch.__version__.split("+")[0]},
    }
    with atomic_folder(paths.reference) as folder:
        write_reference(folder, content, files)
    for name, value in floors.items():
        log.info("%s: %.4g, real images against real images", name, value)


def _classifier(
    config: ReferenceConfig, spec: DataSpec, train: Split, test: Split, device: torch.device
) -> tuple[dict[str, Any], bytes | None]:
    """What is known of the in-domain classifier, and its file; no file where there is nothing to classify."""
    least = config.classifier.min_accuracy
    facts: dict[str, Any] = {"trained": False, "used": False, "accuracy": None, "min_accuracy": least}
    if reason := _nothing_to_classify(spec, train):
        log.info("no classifier: %s; features come from EfficientNet-Lite0", reason)
        return {**facts, "reason": reason}, None
    model = train_classifier(train.images, train.labels, spec, config.classifier, device)
    weights = classifier_bytes(model, config.classifier)
    extractor = classifier_extractor(weights, spec, device)
    called = extract(extractor, test.images, config.batch_size, device, "held-out").logits.argmax(axis=1)
    accuracy = float((called == test.labels).mean())
    used = accuracy >= least
    reason = f"it calls {accuracy:.2%} of {len(test.labels)} unseen images by their label"
    reason += f", {'at least' if used else 'below'} reference.classifier.min_accuracy = {least:.2%}"
    log.info("classifier: %s", reason)
    if not used:
        log.warning("the classifier is too weak to measure with: features come from EfficientNet-Lite0")
    return {**facts, "trained": True, "used": used, "accuracy": accuracy, "reason": reason}, weights


def _nothing_to_classify(spec: DataSpec, train: Split) -> str:
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
