"""Stage evaluate: sample through the bundle and measure the samples beside real data.

What ships is what is judged: the samples come from out/bundle by the sampler that `ddpm sample` and the service use.
A student's teacher is measured too, with the same seeds and conditions, so that the report can show both.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_folder, atomic_write_bytes, sha256_bytes
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.counts import counts
from ddpm_core.metrics.golden import golden_metric
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.measurement import recorded
from ddpm_core.metrics.metric import Metric, flat
from ddpm_core.pseudo_classes import classes_to_ask_for
from pipelines.evaluation.authenticity import SAMPLES, TEACHER, write_measured
from pipelines.evaluation.evaluation import Evaluation, Measured
from pipelines.evaluation.reference import Reference, read_reference
from pipelines.kinds import kind_of
from pipelines.paths import Paths
from pipelines.runtime.threads import in_use
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.cost import log_cost
from pipelines.sampling.parallel import sample_in_parallel
from pipelines.sampling.recipe import Recipe
from pipelines.shards.archive import read_index, read_split
from pipelines.shards.index import ShardIndex

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Sample and measure; write out/metrics.json, out/record.json and out/samples."""
    measure_bundle(params, paths, paths.bundle, paths.metrics.parent, teacher=teacher_of(params, paths))
    tracker.publish(paths, params, "evaluate")


def teacher_of(params: "Params", paths: Paths) -> Path | None:
    """The teacher's bundle, where the project's own is a student; IntegrityError where it is another one by now."""
    objective = getattr(params, "diffusion", None)  # an older dvc.yaml does not show it to this stage
    student = read_bundle(paths.bundle).student
    if student is None or objective is None or objective.kind != "distillation":
        return None
    folder: Path = paths.root / objective.teacher.path
    if (found := read_bundle(folder).digest) != student.teacher:
        raise IntegrityError(
            f"diffusion.teacher: {objective.teacher.path} must hold the bundle {student.teacher} that taught "
            f"out/bundle, got {found}; put it back, or run `ddpm run` to train a student of this one"
        )
    return folder


def measure_bundle(
    params: "Params", paths: Paths, folder: Path, out: Path, *, panels: bool = True, teacher: Path | None = None
) -> None:
    """Measure the bundle in a folder beside the project's data; write metrics.json, record.json and samples to out.

    `panels` are what samples holds for a report alone; where none will be made they are left out. The measurement of a
    `teacher` goes into samples.
    """
    config: EvaluateConfig = params.evaluate
    threads = in_use(params.runtime.threads)
    make_repeatable(threads)
    device = pick_device(params.runtime.device)
    index, reference = read_index(paths.shards), read_reference(paths.reference)
    sampler = Sampler.open(folder, device=params.runtime.device, threads=threads, engine=config.engine)
    refuse_other_data(index, reference, sampler.bundle)
    train, test = (read_split(paths.shards, name) for name in ("train", "test"))
    recipe = sampler.recipe(steps=config.steps, guidance=config.guidance)
    asked = kind_of(index.spec.kind).asked_of_test(test, sampler.bundle.spec, config)
    n, cond = len(asked.rows), asked.cond
    seeds = np.arange(config.seed, config.seed + n, dtype=np.int64)
    x = _sampled(params, sampler, recipe, cond, seeds, len(test))
    evaluation = Evaluation(
        sampler, recipe, x, cond, asked.rows, seeds, train, test, index.spec, reference, config, device, panels
    )
    measured = kind_of(index.spec.kind).measure(evaluation)
    golden = golden_metric(sampler.golden_difference(), sampler.bundle.golden is not None)
    counted = {metric.name for metric in measured.metrics}  # a kind may count otherwise
    counts_of_all = [each for each in counts(n, len(test), len(train)) if each.name not in counted]
    metrics = [*measured.metrics, *counts_of_all, golden]
    left_out = {metric.name: metric.left_out for metric in metrics if metric.value is None and metric.left_out}
    out.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out / SAMPLES) as samples:
        for name, content in measured.files.items():
            atomic_write_bytes(samples / name, content)
        if teacher is not None:
            log.info("the teacher, with the same seeds and conditions:")
            measure_bundle(params, paths, teacher, samples / TEACHER, panels=False)
    numbers = flat(metrics, config.confidence)
    write_measured(out, numbers, _record(evaluation, measured, metrics, left_out))
    for name, value in sorted(numbers.items()):
        log.info("%-34s %.5g", name, value)
    for name, reason in left_out.items():
        log.warning("%s was not measured: %s", name, reason)


def refuse_other_data(index: ShardIndex, reference: Reference, bundle: Bundle) -> None:
    """The reference must be about these data, and the bundle make such data."""
    if reference.content["data"] != index.digest:
        raise IntegrityError(
            f"out/reference must be about the data in data/shards (digest {index.digest}), it is about "
            f"{reference.content['data']}; run `ddpm reference` again"
        )
    mine, its = index.spec, bundle.spec
    if (its.kind, its.shape) != (mine.kind, mine.shape) or not (its.conditions.items() <= mine.conditions.items()):
        raise DataError(
            f"a bundle can be measured beside data of its own kind, shape and conditions: it makes {its.kind} of "
            f"{its.shape} and {len(its.classes)} classes, data/shards holds {mine.kind} of {mine.shape} and "
            f"{len(mine.classes)}; prepare the data that it was trained on, or train on these"
        )


def _sampled(
    params: "Params",
    sampler: Sampler,
    recipe: Recipe,
    cond: Mapping[str, NDArray[Any]],
    seeds: NDArray[np.int64],
    unseen: int,
) -> NDArray[Any]:
    config, processes = params.evaluate, params.runtime.sampling_processes
    log_cost(sampler, recipe, config, len(seeds), unseen, processes)
    return sample_in_parallel(
        sampler,
        recipe,
        seeds.tolist(),
        cond,
        processes=processes,
        batch_size=config.batch_size,
        progress=True,
    )


def _record(of: Evaluation, measured: Measured, metrics: list[Metric], left_out: Mapping[str, str]) -> dict[str, Any]:
    """record.json: the conditions of the measurement, where it comes from, and all but the numbers of the metrics."""
    sampler, bundle, config, n = of.sampler, of.sampler.bundle, of.config, len(of.x)
    return {
        "conditions": {
            "versions": {name: version(name).split("+")[0] for name in ("numpy", "torch")},
            **measured.conditions,
            "n": n,
            "conditional": bool(classes_to_ask_for(bundle.spec)),
            "asked": {name: sha256_bytes(np.ascontiguousarray(value).tobytes()) for name, value in of.cond.items()},
            "reference": of.reference.digest,
            "data": of.reference.content["data"],
            "settings": config.compared(),
            "resampling": RESAMPLING,
            "sampler": asdict(of.recipe.sampler),
            "guidance": asdict(of.recipe.guidance),
            "computed": {"sampler": sampler.device, "features": of.device.type, "precision": "fp32"},
            "not_measured": dict(left_out),
        },
        "provenance": {
            "bundle": bundle.digest,
            "bundle_provenance": dict(bundle.provenance),
            "golden": bundle.golden is not None,
            "samples_sha256": sha256_bytes(np.ascontiguousarray(of.x).tobytes()),
            "devices": {"sampler": sampler.device, "features": of.device.type},
            "samples": {"asked": config.n, "unseen": len(of.test), "most": config.n_most, "made": n},
            "threads": sampler.threads,
        },
        **recorded(metrics),
        "controls": measured.controls,
    }
