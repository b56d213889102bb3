"""Stage evaluate: samples through the exported bundle, measured beside real images.

What ships is what is judged: the pictures come from out/bundle by the sampler that `ddpm sample` and the service use.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm_core.bundle import Bundle
from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import sha256_bytes
from ddpm_core.metrics import measure
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.coverage import class_accuracy
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.labels import asked_labels
from ddpm_core.metrics.likeness import Grain
from ddpm_core.metrics.measure import Found
from ddpm_core.metrics.measurement import encoded
from ddpm_core.metrics.memorisation import nearest
from ddpm_core.spec import DataSpec
from pipelines.paths import Paths
from pipelines.serving.cost import log_cost
from pipelines.serving.parallel import sample_in_parallel
from pipelines.serving.sampler import Sampler
from pipelines.threads import in_use
from pipelines.tools.authenticity import write_measured
from pipelines.tools.bits import held_out_bits
from pipelines.tools.controls import score_controls
from pipelines.tools.features import CLASSIFIER_NAME, Extractor, classifier_extractor, extract, versions
from pipelines.tools.judging import Judged, judged_by, open_all, seen_controls, trust
from pipelines.tools.panels import Made, Measuring, panel_files
from pipelines.tools.reference_store import Reference, read_reference
from pipelines.tools.sample_files import write_samples
from pipelines.tools.shard_index import ShardIndex
from pipelines.tools.shards import Split, read_index, read_split

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)

Images = NDArray[np.uint8]
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
    train, test = read_split(paths.shards, "train"), read_split(paths.shards, "test")
    labels, seeds = _asked(config, test, bundle)
    n = len(seeds)
    recipe = sampler.recipe(steps=config.steps, guidance=config.guidance)
    log_cost(sampler, recipe, config, len(test.images), params.runtime.sampling_processes)
    images = sample_in_parallel(
        sampler,
        recipe,
        [int(label) if bundle.conditional else None for label in labels],
        seeds.tolist(),
        processes=params.runtime.sampling_processes,
        batch_size=config.batch_size,
        progress=True,
    )
    copied, unseen = (nearest(side, train.images, config.copy_shift) for side in (images, test.images))
    found = Found({"n": n, "n_heldout": len(test.images), "n_train": len(train.images)}, {}, {})
    found.metrics.update(measure.copies(copied, unseen, config.copy_quantile, config.copy_ratio, config.confidence))
    found.metrics.update(measure.pixel_faults(images, test.images, index.spec.top))
    if (golden := sampler.golden_difference()) is not None:
        found.metrics["golden_difference"] = golden
    bits = held_out_bits(
        sampler.network,
        bundle,
        test.images,
        test.labels,
        count=config.bits_images,
        levels=config.bits_levels,
        seed=config.seed,
    )
    found.add(bits.found)
    grain = Grain.of(test.images, train.images, index.spec.top)
    found.metrics.update(grain.measure(images, config.confidence))
    seen = Seen(images, labels, test, reference, index.spec)
    classes, judged, per_class = len(index.spec.classes), [], {}
    for extractor in open_all(reference, index.spec, device):
        one, its, by_class = judged_by(extractor, images, labels, reference, classes, config, device)
        judged.append(one)
        found.add(its)
        per_class.update(by_class)
    per_class.update(_label_measures(found, bundle, seen, config, device))
    found.metrics.update(measure.worst(per_class))
    controls = score_controls(
        seen_controls(judged, reference),
        train,
        test,
        np.array(reference.content["control_rows"]),
        unseen,
        grain,
        config,
        labels=bundle.conditional,
    )
    record = {
        "conditions": {
            **_conditions(config, labels, seen, [one.extractor for one in judged]),
            "conditional": bundle.conditional,
            "sampler": asdict(recipe.sampler),
            "guidance": asdict(recipe.guidance),
            "computed": {"sampler": sampler.device, "features": device.type, "precision": "fp32"},
            "not_measured": found.left_out,
        },
        "provenance": {
            "bundle": bundle.digest,
            "bundle_provenance": dict(bundle.provenance),
            "golden": bundle.golden is not None,
            "images_sha256": sha256_bytes(np.ascontiguousarray(images).tobytes()),
            "devices": {"sampler": sampler.device, "features": device.type},
            "samples": {"asked": config.n, "unseen": len(test.images), "most": config.n_most, "made": n},
            "threads": sampler.threads,
        },
        "per_class": {name: _plain(values) for name, values in sorted(per_class.items())},
        "replicates": encoded(found.replicates),
        "controls": controls,
    }
    shown = {}
    if panels:
        made = Made(sampler, recipe, images, labels, seeds)
        shown = panel_files(made, test, bits.terms, _measuring(judged, config, device), config)
    out.mkdir(parents=True, exist_ok=True)
    write_samples(out / "samples", images, labels, seeds, train, copied, index.spec, config, shown)
    write_measured(out, measure.rounded(found.metrics), record)
    for name, value in sorted(found.metrics.items()):
        log.info("%-34s %.5g", name, value)
    for name, reason in found.left_out.items():
        log.warning("%s was not measured: %s", name, reason)


@dataclass(frozen=True, eq=False)
class Seen:
    """What is measured, and beside what."""

    images: Images
    labels: Labels
    test: Split
    reference: Reference
    spec: DataSpec


def _refuse_other_data(index: ShardIndex, reference: Reference, bundle: Bundle) -> None:
    if reference.content["data"] != index.digest:
        raise IntegrityError(
            f"out/reference must be about the data in data/shards (digest {index.digest}), it is about "
            f"{reference.content['data']}; run `ddpm reference` again"
        )
    if bundle.spec.shape != index.spec.shape or (bundle.conditional and bundle.spec.classes != index.spec.classes):
        raise DataError(
            f"a bundle can be measured beside data of its own shape and classes: it makes {bundle.spec.shape} of "
            f"{len(bundle.spec.classes)} classes, data/shards holds {index.spec.shape} of {len(index.spec.classes)}; "
            "prepare the data that it was trained on, or train on these"
        )


def _asked(config: EvaluateConfig, test: Split, bundle: Bundle) -> tuple[Labels, Labels]:
    """The labels to ask for, -1 where the model takes none, and the seeds."""
    n = config.samples(len(test.images))
    labels = asked_labels(test.labels, n, config.seed) if bundle.conditional else np.full(n, -1)
    return labels, np.arange(config.seed, config.seed + n, dtype=np.int64)


def _conditions(config: EvaluateConfig, labels: Labels, seen: Seen, extractors: list[Extractor]) -> dict[str, Any]:
    """What must be equal for another measurement to be compared with this one."""
    return {
        "n": len(labels),
        "labels": sha256_bytes(labels.astype("<i8").tobytes()),
        "classes": len(seen.spec.classes),
        "distances": [extractor.distance for extractor in extractors if extractor.distance is not None],
        "judges": [extractor.name for extractor in extractors if extractor.judges],
        "extractors": [extractor.identity() for extractor in extractors],
        "classifier": dict(seen.reference.content["classifier"]),
        "reference": seen.reference.digest,
        "data": seen.reference.content["data"],
        "settings": {name: value for name, value in asdict(config).items() if name not in ("panels", "n_most")},
        "rounding": _rounding(seen.spec),
        "resampling": RESAMPLING,
        "versions": versions(),
    }


def _rounding(spec: DataSpec) -> str:
    """How values become levels: in words, and by what it makes of values all over the range and beyond."""
    low, high = spec.range or (0.0, 1.0)
    probes = np.linspace(low - 0.1, high + 0.1, 10_001, dtype=np.float32)
    return f"rint and clip, {sha256_bytes(spec.decode(probes).tobytes())[:16]}"


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, to six digits; null where a class has none."""
    return [None if np.isnan(value) else float(f"{value:.6g}") for value in values]


def _measuring(judged: list[Judged], config: EvaluateConfig, device: torch.device) -> list[Measuring]:
    """What the panels measure with."""

    def by(one: Judged) -> Measuring:
        return Measuring(one, lambda images, what: extract(one.extractor, images, config.batch_size, device, what))

    return [by(one) for one in judged]


def _label_measures(
    found: Found, bundle: Bundle, seen: Seen, config: EvaluateConfig, device: torch.device
) -> dict[str, NDArray[np.float64]]:
    """Add how the classifier, even a weak one, calls the samples, where there is one and labels were asked for."""
    facts, weights = seen.reference.content["classifier"], seen.reference.files.get(CLASSIFIER_NAME)
    if weights is None:
        return {}
    found.metrics["accuracy_heldout"] = float(facts["accuracy"])
    if not bundle.conditional:
        return {}
    logits = extract(classifier_extractor(weights, seen.spec, device), seen.images, 256, device, "labels").logits
    called = logits.argmax(axis=1)
    found.add(measure.accuracy(seen.labels, called, trust(config)))
    return {"accuracy": class_accuracy(seen.labels, called, len(seen.spec.classes))}
