"""What stage evaluate measures in the features of each extractor: the gate's measures, and distances and scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm_core.metrics import measure
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.likeness import Judge
from ddpm_core.metrics.measure import Found, Trust
from ddpm_core.spec import DataSpec
from pipelines.tools.controls import ControlFeatures
from pipelines.tools.features import Extractor, Features, extract, open_extractors
from pipelines.tools.fidelity import inception_score, kernel_distance
from pipelines.tools.reference_store import Reference

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
PerClass = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Judged:
    """An extractor, real images in its eyes, and the regions of them that samples have lost."""

    extractor: Extractor
    judge: Judge
    lost: tuple[int, ...]


def open_all(reference: Reference, spec: DataSpec, device: torch.device) -> list[Extractor]:
    """Every extractor of a reference."""
    facts = reference.content
    return open_extractors(reference.files, facts["classifier"]["used"], facts["efficientnet_side"], spec, device)


def trust(config: EvaluateConfig) -> Trust:
    return Trust(config.resamples, config.seed, config.confidence)


def judged_by(
    extractor: Extractor,
    images: Images,
    asked: Labels,
    reference: Reference,
    classes: int,
    config: EvaluateConfig,
    device: torch.device,
) -> tuple[Judged, Found, PerClass]:
    """What one extractor says of the samples; a judge alone says how much they look like the data, and no more."""
    real, test_logits = reference.real(extractor.name)
    features = extract(extractor, images, config.batch_size, device, "samples")
    judge = Judge.of(extractor.name, real, asked, config.floor_draws, config.seed)
    found, lost = judge.measure(features.features, asked, trust(config))
    per_class: PerClass = {}
    if classes and (asked >= 0).all():
        per_class[f"energy_{judge.name}"] = judge.by_class(features.features, asked, classes)
    if not extractor.judge_alone:
        per_class |= _distances(found, extractor, features, test_logits, judge, asked, classes, config)
    return Judged(extractor, judge, lost), found, per_class


def seen_controls(judged: Sequence[Judged], reference: Reference) -> list[ControlFeatures]:
    """What each extractor made of the controls."""
    return [
        ControlFeatures(each.judge, *reference.controls(each.extractor.name), each.extractor.distance)
        for each in judged
    ]


def _distances(
    found: Found,
    extractor: Extractor,
    features: Features,
    test_logits: NDArray[np.float32],
    judge: Judge,
    asked: Labels,
    classes: int,
    config: EvaluateConfig,
) -> PerClass:
    """Add the distances and scores that one extractor gives, and why it does not give others."""
    names, rows, real = extractor.names, features.features, judge.real
    found.add(measure.distances(names.distance, rows, asked, real, config.floor_draws, trust(config)))
    found.metrics.update(measure.kernel(names.kernel, rows, real, config.confidence))
    reach, covered = measure.reach(names.distance, rows, real, config.coverage_k)
    found.metrics.update(reach)
    fewest = min(len(rows), len(real.test_rows))
    if fewest >= config.kid_subset_size:
        found.metrics[names.kernel], found.metrics[f"{names.kernel}_std"] = kernel_distance(
            rows, real.test_rows, config.kid_subsets, config.kid_subset_size, config.seed
        )
    else:
        found.left_out[names.kernel] = (
            f"it takes evaluate.kid_subset_size = {config.kid_subset_size} samples and as many unseen real images, "
            f"there are {fewest}"
        )
    if names.score is not None:
        found.add(_scored(names.score, features.logits, test_logits, config))
    if not reach or not classes:
        return {}
    return measure.by_labels(names.distance, rows, asked, real, real.test_labels, covered, classes)


def _scored(name: str, logits: NDArray[np.float32], real: NDArray[np.float32], config: EvaluateConfig) -> Found:
    """The Inception Score of samples and of unseen images."""
    if (fewest := min(len(logits), len(real))) < config.is_splits:
        return Found({}, {}, {name: f"it takes evaluate.is_splits = {config.is_splits} samples, there are {fewest}"})
    value, deviation = inception_score(logits, config.is_splits, config.seed)
    unseen, _ = inception_score(real, config.is_splits, config.seed)
    return Found({name: value, f"{name}_std": deviation, f"{name}_real": unseen}, {}, {})
