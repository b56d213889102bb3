"""Stage evaluate: samples through the exported bundle, measured beside real images.

What ships is what is judged: the pictures come from out/bundle by the sampler that `ddpm sample` and the service use.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm_core.bundle.format import Bundle
from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import sha256_bytes
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.data import EvalData, FeatureView
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.labels import asked_labels
from ddpm_core.metrics.measurement import recorded
from ddpm_core.metrics.memorisation import nearest
from ddpm_core.metrics.metric import flat
from ddpm_core.metrics.pixels import golden_metric
from ddpm_core.metrics.roughness import Grain
from ddpm_core.spec import DataSpec, conditions_of
from pipelines.evaluation.authenticity import write_measured
from pipelines.evaluation.likelihood import held_out_bits
from pipelines.kinds.pictures.evaluation.measures import MEASURES, control_features, open_all, view_of
from pipelines.kinds.pictures.evaluation.panels import Probe, SampleSet, panel_files
from pipelines.kinds.pictures.evaluation.sample_files import write_samples
from pipelines.kinds.pictures.reference.controls import score_controls
from pipelines.kinds.pictures.reference.extractor import Extractor, extract
from pipelines.kinds.pictures.reference.extractors import CLASSIFIER_NAME, classifier_extractor, versions
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.reference.store import Reference, read_reference
from pipelines.paths import Paths
from pipelines.runtime.threads import in_use
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.cost import log_cost
from pipelines.sampling.parallel import sample_in_parallel
from pipelines.shards.archive import read_index, read_split
from pipelines.shards.index import ShardIndex

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)

Labels = NDArray[np.int64]


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Sample and measure; write out/metrics.json, out/record.json and out/samples."""
    measure_bundle(params, paths, paths.bundle, paths.metrics.parent)
    tracker.publish(paths, params, "evaluate")


def measure_bundle(params: "Params", paths: Paths, folder: Path, out: Path, *, panels: bool = True) -> None:
    """Measure the bundle in a folder beside the project's data; write metrics.json, record.json and samples to out.

    `panels` are what samples holds for a report alone; where none will be made they are left out.
    """
    config: EvaluateConfig = params.evaluate
    threads = in_use(params.runtime.threads)
    make_repeatable(threads)
    device = pick_device(params.runtime.device)
    index, reference = read_index(paths.shards), read_reference(paths.reference)
    sampler = Sampler.open(folder, device=params.runtime.device, threads=threads, engine=config.engine)
    bundle = sampler.bundle
    _refuse_other_data(index, reference, bundle)
    train, test = (ImageSplit.of(read_split(paths.shards, name), index.spec) for name in ("train", "test"))
    made = _sampled(params, sampler, test)
    extractors = open_all(reference, index.spec, device)
    views = tuple(view_of(each, made.images, made.labels, reference, config, device) for each in extractors)
    data = _eval_data(made, (train, test), reference, index.spec, views, config, device)
    bits = held_out_bits(
        sampler.network,
        bundle,
        test.images,
        test.labels,
        count=config.bits_images,
        levels=config.bits_levels,
        seed=config.seed,
    )
    golden = golden_metric(sampler.golden_difference(), bundle.golden is not None)
    metrics = [*(metric for measure in MEASURES for metric in measure(data)), golden, *bits.metrics]
    left_out = {metric.name: metric.left_out for metric in metrics if metric.value is None and metric.left_out}
    controls = score_controls(
        control_features(views, reference),
        train,
        test,
        np.array(reference.content["control_rows"]),
        data.unseen_nearest,
        data.grain,
        config,
        labels=bool(bundle.spec.conditions),
    )
    record = {
        "conditions": {
            **_conditions(data, reference, index.spec, extractors),
            "sampler": asdict(made.recipe.sampler),
            "guidance": asdict(made.recipe.guidance),
            "computed": {"sampler": sampler.device, "features": device.type, "precision": "fp32"},
            "not_measured": left_out,
        },
        "provenance": {
            "bundle": bundle.digest,
            "bundle_provenance": dict(bundle.provenance),
            "golden": bundle.golden is not None,
            "images_sha256": sha256_bytes(np.ascontiguousarray(made.images).tobytes()),
            "devices": {"sampler": sampler.device, "features": device.type},
            "samples": {
                "asked": config.n,
                "unseen": len(test.images),
                "most": config.n_most,
                "made": len(made.images),
            },
            "threads": sampler.threads,
        },
        **recorded(metrics),
        "controls": controls,
    }
    shown: Mapping[str, bytes] = {}
    if panels:
        shown = panel_files(made, test, bits.terms, _probes(extractors, views, config, device), config)
    out.mkdir(parents=True, exist_ok=True)
    write_samples(out / "samples", made.images, made.labels, made.seeds, train, data.nearest, index.spec, config, shown)
    numbers = flat(metrics, config.confidence)
    write_measured(out, numbers, record)
    for name, value in sorted(numbers.items()):
        log.info("%-34s %.5g", name, value)
    for name, reason in left_out.items():
        log.warning("%s was not measured: %s", name, reason)


def _refuse_other_data(index: ShardIndex, reference: Reference, bundle: Bundle) -> None:
    if reference.content["data"] != index.digest:
        raise IntegrityError(
            f"out/reference must be about the data in data/shards (digest {index.digest}), it is about "
            f"{reference.content['data']}; run `ddpm reference` again"
        )
    if bundle.spec.shape != index.spec.shape or not (bundle.spec.conditions.items() <= index.spec.conditions.items()):
        raise DataError(
            f"a bundle can be measured beside data of its own shape and classes: it makes {bundle.spec.shape} of "
            f"{len(bundle.spec.classes)} classes, data/shards holds {index.spec.shape} of {len(index.spec.classes)}; "
            "prepare the data that it was trained on, or train on these"
        )


def _sampled(params: "Params", sampler: Sampler, test: ImageSplit) -> SampleSet:
    """The samples: labels as the test split has them, -1 where the model takes none, and seeds one after the other."""
    config, conditional = params.evaluate, bool(sampler.bundle.spec.conditions)
    n = config.samples(len(test.images))
    labels = asked_labels(test.labels, n, config.seed) if conditional else np.full(n, -1)
    seeds = np.arange(config.seed, config.seed + n, dtype=np.int64)
    recipe = sampler.recipe(steps=config.steps, guidance=config.guidance)
    log_cost(sampler, recipe, config, len(test.images), params.runtime.sampling_processes)
    images = sample_in_parallel(
        sampler,
        recipe,
        seeds.tolist(),
        conditions_of(sampler.bundle.spec, labels),
        processes=params.runtime.sampling_processes,
        batch_size=config.batch_size,
        progress=True,
    )
    return SampleSet(sampler, recipe, images, labels, seeds)


def _eval_data(
    made: SampleSet,
    splits: tuple[ImageSplit, ImageSplit],
    reference: Reference,
    spec: DataSpec,
    views: tuple[FeatureView, ...],
    config: EvaluateConfig,
    device: torch.device,
) -> EvalData:
    """All that measures look at. A classifier, even a weak one, classifies the samples where labels were asked for."""
    (train, test), conditional, classified = splits, bool(made.sampler.bundle.spec.conditions), None
    weights = reference.files.get(CLASSIFIER_NAME)
    if weights is not None and conditional:
        classifier = classifier_extractor(weights, spec, device)
        classified = extract(classifier, made.images, 256, device, "labels").logits.argmax(axis=1)
    return EvalData(
        images=made.images, asked=made.labels, unseen=test.images, training=train.images, top=spec.top,
        classes=len(spec.classes), conditional=conditional, views=views,
        grain=Grain.of(test.images, train.images, spec.top),
        nearest=nearest(made.images, train.images, config.copy_shift),
        unseen_nearest=nearest(test.images, train.images, config.copy_shift), classified=classified,
        unseen_accuracy=None if weights is None else reference.content["classifier"]["accuracy"], settings=config,
    )  # fmt: skip


def _conditions(
    data: EvalData, reference: Reference, spec: DataSpec, extractors: Sequence[Extractor]
) -> dict[str, Any]:
    """What must be equal for another measurement to be compared with this one."""
    return {
        "n": len(data.images),
        "labels": sha256_bytes(data.asked.astype("<i8").tobytes()),
        "classes": data.classes,
        "conditional": data.conditional,
        "distances": [extractor.distance for extractor in extractors if extractor.distance is not None],
        "judges": [extractor.name for extractor in extractors if extractor.judges],
        "extractors": [extractor.identity() for extractor in extractors],
        "classifier": dict(reference.content["classifier"]),
        "reference": reference.digest,
        "data": reference.content["data"],
        "settings": {name: value for name, value in asdict(data.settings).items() if name not in ("panels", "n_most")},
        "rounding": _rounding(spec),
        "resampling": RESAMPLING,
        "versions": versions(),
    }


def _rounding(spec: DataSpec) -> str:
    """How values become levels: in words, and by what it makes of values all over the range and beyond."""
    low, high = spec.range or (0.0, 1.0)
    probes = np.linspace(low - 0.1, high + 0.1, 10_001, dtype=np.float32)
    return f"rint and clip, {sha256_bytes(spec.decode(probes).tobytes())[:16]}"


def _probes(
    extractors: Sequence[Extractor], views: Sequence[FeatureView], config: EvaluateConfig, device: torch.device
) -> list[Probe]:
    """What the panels measure with."""

    def by(extractor: Extractor, view: FeatureView) -> Probe:
        return Probe(view, lambda images, what: extract(extractor, images, config.batch_size, device, what))

    return [by(*both) for both in zip(extractors, views, strict=True)]
