"""All that stage evaluate finds out about samples that are pictures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ddpm_core.files import sha256_bytes
from ddpm_core.metrics.config import PictureEvaluateConfig
from ddpm_core.metrics.data import AskedAttribute, EvalData, FeatureView
from ddpm_core.metrics.energy import against, energy
from ddpm_core.metrics.intervals import around
from ddpm_core.metrics.likeness import energy_metric
from ddpm_core.metrics.memorisation import nearest
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.roughness import Grain
from ddpm_core.pseudo_classes import classes_to_ask_for
from ddpm_core.spec import DataSpec, attributes_in
from pipelines.evaluation.evaluation import Evaluation, Measured
from pipelines.evaluation.likelihood import held_out_bits
from pipelines.kinds.pictures.evaluation import measures
from pipelines.kinds.pictures.evaluation.measures import control_features, open_all, view_of
from pipelines.kinds.pictures.evaluation.panels import Probe, SampleSet, panel_files
from pipelines.kinds.pictures.evaluation.sample_files import sample_files
from pipelines.kinds.pictures.reference.controls import score_controls
from pipelines.kinds.pictures.reference.extractor import Extractor, extract
from pipelines.kinds.pictures.reference.extractors import (
    CLASSIFIER_NAME,
    attribute_classes,
    classifier_extractor,
    versions,
)
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.reference.store import real_features


def measure(of: Evaluation) -> Measured:
    """Measure the samples beside the real pictures, in the features of each extractor of the reference."""
    config: PictureEvaluateConfig = of.config
    made = SampleSet.of(of)
    train, test = (ImageSplit.of(split, of.spec) for split in (of.train, of.test))
    extractors = open_all(of.reference, of.spec, of.device)
    views = tuple(view_of(each, made.images, made.labels, of.reference, config, of.device) for each in extractors)
    data = _eval_data(of, made, train, test, views)
    sampler, bundle = of.sampler, of.sampler.bundle
    told = {name: of.test.cond[name] for name in bundle.spec.conditions}
    bits = held_out_bits(
        sampler.network, bundle, test.images, told, count=config.bits_images, levels=config.bits_levels,
        seed=config.seed,
    )  # fmt: skip
    controls = score_controls(
        control_features(views, of.reference),
        train,
        test,
        np.array(of.reference.content["control_rows"]),
        data.unseen_nearest,
        data.grain,
        config,
        labels=data.conditional,
    )
    shown: Mapping[str, bytes] = {}
    if of.panels:
        shown = panel_files(made, test, bits.terms, _probes(extractors, views, of), config)
    return Measured(
        metrics=(*(metric for measure in measures.MEASURES for metric in measure(data)), *bits.metrics),
        controls=controls,
        conditions=_conditions(of, data, extractors),
        files=sample_files(made, train, data.nearest, of.spec, config, shown),
    )


def closeness(of: Evaluation) -> Metric:
    """e of the samples to one half of the training pictures, less that of the other half, in one judge's features.

    The features of the training pictures are those of the reference; no unseen picture is looked at.
    """
    made, weights = SampleSet.of(of), of.reference.files.get(CLASSIFIER_NAME)
    if weights is not None and of.reference.content["classifier"]["used"]:
        judge = classifier_extractor(weights, of.spec, of.device)
    else:
        judge = next(each for each in open_all(of.reference, of.spec, of.device) if each.judges)
    real, _ = real_features(of.reference, judge.name)
    half, config = np.arange(len(real.train_rows)) % 2 == 0, of.config
    held = against(
        real.train_rows[half], real.train_rows[~half], real.train_labels[~half], made.labels, config.floor_draws,
        config.seed,
    )  # fmt: skip
    seen = extract(judge, made.images, config.batch_size, of.device, "samples")
    apart = energy(seen.features, made.labels, held, config.resamples, config.seed)
    ends = around(apart.value, apart.replicates, config.confidence)
    return energy_metric(judge.name).measured(apart.value, ends, apart.replicates)


def _eval_data(
    of: Evaluation, made: SampleSet, train: ImageSplit, test: ImageSplit, views: tuple[FeatureView, ...]
) -> EvalData:
    """All that measures look at. A classifier, even a weak one, classifies the samples where labels were asked for."""
    config, spec, reference = of.config, of.spec, of.reference
    conditional, classified = bool(classes_to_ask_for(of.sampler.bundle.spec)), None
    weights = reference.files.get(CLASSIFIER_NAME)
    called: Mapping[str, Any] = {}
    if weights is not None and conditional:
        classifier = classifier_extractor(weights, spec, of.device)
        seen = extract(classifier, made.images, 256, of.device, "labels")
        classified = seen.logits.argmax(axis=1)
        called = attribute_classes(weights, spec, seen.features) if spec.attributes else {}
    return EvalData(
        images=made.images, asked=made.labels, unseen=test.images, training=train.images, top=spec.top,
        classes=len(classes_to_ask_for(spec)), conditional=conditional, views=views,
        grain=Grain.of(test.images, train.images, spec.top),
        nearest=nearest(made.images, train.images, config.copy_shift),
        unseen_nearest=nearest(test.images, train.images, config.copy_shift), classified=classified,
        unseen_accuracy=None if weights is None else reference.content["classifier"]["accuracy"], settings=config,
        attributes=tuple(_attributes(of, called)),
    )  # fmt: skip


def _attributes(of: Evaluation, called: Mapping[str, Any]) -> Iterator[AskedAttribute]:
    """Those that the model is told, and what the classifier makes of the samples and made of unseen pictures."""
    told = of.sampler.bundle.spec
    unseen = of.reference.content["classifier"].get("attributes", {})
    for name, asked in attributes_in(told, of.cond).items():
        its = unseen.get(name, {"known": 0, "accuracy": None})
        classes = len(told.attributes[name].classes)
        yield AskedAttribute(name, classes, asked, called.get(name), its["known"], its["accuracy"])


def _conditions(of: Evaluation, data: EvalData, extractors: Sequence[Extractor]) -> dict[str, Any]:
    """What must be equal for another measurement to be compared with this one."""
    return {
        "classes": data.classes,
        "distances": [extractor.distance for extractor in extractors if extractor.distance is not None],
        "judges": [extractor.name for extractor in extractors if extractor.judges],
        "extractors": [extractor.identity() for extractor in extractors],
        "classifier": dict(of.reference.content["classifier"]),
        "rounding": _rounding(of.spec),
        "versions": versions(),
    }


def _rounding(spec: DataSpec) -> str:
    """How values become levels: in words, and by what it makes of values all over the range and beyond."""
    low, high = spec.range or (0.0, 1.0)
    probes = np.linspace(low - 0.1, high + 0.1, 10_001, dtype=np.float32)
    return f"rint and clip, {sha256_bytes(spec.decode(probes).tobytes())[:16]}"


def _probes(extractors: Sequence[Extractor], views: Sequence[FeatureView], of: Evaluation) -> list[Probe]:
    """What the panels measure with."""

    def by(extractor: Extractor, view: FeatureView) -> Probe:
        return Probe(view, lambda images, what: extract(extractor, images, of.config.batch_size, of.device, what))

    return [by(*both) for both in zip(extractors, views, strict=True)]
