"""What is measured of pictures: `MEASURES` lists every measure; those that take torch-fidelity stand here."""

from collections.abc import Callable, Iterable, Iterator

import torch

from ddpm_core.metrics.accuracy import accuracy, attributes
from ddpm_core.metrics.config import PictureEvaluateConfig
from ddpm_core.metrics.coverage import reach
from ddpm_core.metrics.data import EvalData, FeatureView, Images, Labels
from ddpm_core.metrics.distances import distances
from ddpm_core.metrics.kernel import kernel_distance as all_pairs
from ddpm_core.metrics.likeness import Judge, likeness
from ddpm_core.metrics.memorisation import copies
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.pixels import pixel_faults
from ddpm_core.metrics.roughness import rough_share
from ddpm_core.metrics.spectrum import mesh
from ddpm_core.spec import DataSpec
from pipelines.evaluation.reference import Reference
from pipelines.kinds.pictures.reference.controls import ControlFeatures
from pipelines.kinds.pictures.reference.extractor import Extractor, extract
from pipelines.kinds.pictures.reference.extractors import open_extractors
from pipelines.kinds.pictures.reference.inception import inception_score, kernel_distance
from pipelines.kinds.pictures.reference.store import controls, real_features


def scores(data: EvalData) -> Iterator[Metric]:
    """The Inception Score of samples and of unseen images."""
    splits, seed = data.settings.is_splits, data.settings.seed
    for view in data.views:
        if view.score is None:
            continue
        score = Metric(
            view.score, "score: 1 at worst, the number of classes at best", "higher", floor=f"{view.score}_real",
            tile=(f"{view.score}; of unseen images {{floor:.4g}}", ".4g"),
        )  # fmt: skip
        if (fewest := min(len(view.logits), len(view.unseen_logits))) < splits:
            reason = f"it takes evaluate.is_splits = {splits} samples, there are {fewest}"
            yield Metric(score.name, score.meaning, left_out=reason)
            continue
        value, deviation = inception_score(view.logits, splits, seed)
        yield score.measured(value)
        yield Metric(f"{score.name}_std", "its standard deviation over subsets", value=deviation)
        unseen, _ = inception_score(view.unseen_logits, splits, seed)
        yield Metric(score.floor, "the same of unseen images", value=unseen)


def kernels(data: EvalData) -> Iterator[Metric]:
    """KID to the unseen images over subsets, with an interval from all pairs of images."""
    config = data.settings
    for view in data.views:
        if view.kernel is None:
            continue
        real, size = view.judge.real.test_rows, config.kid_subset_size
        kernel = Metric(view.kernel, "kernel distance to unseen images, 0 at best, unbiased", "lower")
        if (fewest := min(len(view.rows), len(real))) < size:
            reason = (
                f"it takes evaluate.kid_subset_size = {size} samples and as many unseen real images, there are {fewest}"
            )
            yield Metric(kernel.name, kernel.meaning, left_out=reason)
            continue
        value, deviation = kernel_distance(view.rows, real, config.kid_subsets, size, config.seed)
        yield kernel.measured(value, all_pairs(view.rows, real).interval(config.confidence) if fewest > 2 else None)
        yield Metric(f"{kernel.name}_std", "its standard deviation over subsets", value=deviation)


# In this order the headlines of the report and the rules of the gate come.
MEASURES: tuple[Callable[[EvalData], Iterable[Metric]], ...] = (
    distances,
    scores,
    likeness,
    rough_share,
    pixel_faults,
    accuracy,
    attributes,
    mesh,
    copies,
    reach,
    kernels,
)


def open_all(reference: Reference, spec: DataSpec, device: torch.device) -> list[Extractor]:
    """Every extractor of a reference."""
    facts = reference.content
    return open_extractors(reference.files, facts["classifier"]["used"], facts["efficientnet_side"], spec, device)


def view_of(
    extractor: Extractor,
    images: Images,
    asked: Labels,
    reference: Reference,
    config: PictureEvaluateConfig,
    device: torch.device,
) -> FeatureView:
    """Samples beside real images in one extractor's features."""
    real, unseen_logits = real_features(reference, extractor.name)
    made = extract(extractor, images, config.batch_size, device, "samples")
    judge = Judge.of(extractor.name, real, asked, config.floor_draws, config.seed)
    names = (None, None, None) if extractor.judge_alone else extractor.names
    return FeatureView(judge, extractor.judges, made.features, made.logits, unseen_logits, *names)


def control_features(views: Iterable[FeatureView], reference: Reference) -> list[ControlFeatures]:
    """What each extractor made of the controls."""
    return [ControlFeatures(view.judge, *controls(reference, view.judge.name), view.distance) for view in views]
