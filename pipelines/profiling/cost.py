"""What a run will cost on this machine: a few training steps, network evaluations and pictures are timed now.

The seconds of a stage are measured seconds times known counts; what a stage does besides (starting Python, importing,
writing tables) is measured as the start of one such process, of which a stage takes so many. Where other programs keep
the processors busy, less time is counted than has passed: the CPU seconds that were spent.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddpm_core.device import dtype_of, laid_out, make_repeatable, pick_device, pick_precision, seed_network
from ddpm_core.objectives.batch import WHOLE, Batch, LabelDropout
from ddpm_core.spec import DataSpec
from ddpm_core.training.trainer import Trainer
from pipelines.kinds import kind_of
from pipelines.runtime.threads import in_use
from pipelines.shards.archive import Arrays, rows_of
from pipelines.training.batches import encoded, spec_of_network
from pipelines.training.setup import order_of

if TYPE_CHECKING:
    from pipelines.params import Params

_WARM_UP, _STEPS, _SECONDS = 2, 8, 10.0
_STARTS = {"prepare": 1.0, "validate": 1.5, "shard": 1.0, "reference": 1.3, "train": 1.3, "export": 2.5,
           "evaluate": 1.6, "report": 1.6, "gate": 1.1, "promotion": 0.5}  # fmt: skip
"""Guesses of how many starts of a process a stage takes besides what is counted."""
_CHECKPOINT, _WEIGHTS, _BUNDLE = 5, 2, 1  # copies of the parameters, with averages and the optimiser's state
_LARGE, _FEW = 10_000_000, 2  # parameters from which a CPU is timed with so few examples: a batch takes minutes
_CONTROL_SETS = 14  # changed copies of the control pictures that EfficientNet looks at


@dataclass(frozen=True)
class Measured:
    """What was timed, in seconds."""

    step: float  # of training
    evaluation: float  # of the network, a sample
    start: float  # of a process that imports what a stage does
    looked: float  # of EfficientNet-Lite0, a picture; 0 where it is not asked
    classified: float  # of a step of the classifier; 0 without labels
    parameters: int
    memory: float  # bytes at the most so far
    threads: int


@dataclass(frozen=True)
class Cost:
    """Seconds by stage, and bytes."""

    stages: dict[str, float]
    memory: float
    disk: float
    measured: Measured
    device: str

    def text(self) -> str:
        of = self.measured
        main = sorted(self.stages.items(), key=lambda item: -item[1])[:4]
        shown = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in main)
        timed = [
            f"{_brief(of.step)} a training step",
            f"{_brief(of.evaluation)} a network evaluation of one sample",
            f"{of.start:.0f} s to start a stage",
            *([f"{1000 * of.looked:.0f} ms a picture in EfficientNet-Lite0"] if of.looked else []),
        ]
        threads = "one thread" if of.threads == 1 else f"{of.threads} threads"
        return (
            f"\nCost of a run on this machine ({self.device}, {threads}), if nothing else runs\n"
            f"  time: about {_duration(sum(self.stages.values()))} ({shown})\n"
            f"  memory: about {self.memory / 1e9:.1f} GB\n"
            f"  disk: about {_size(self.disk)} for the project\n"
            f"  measured just now: {', '.join(timed)}; the network has {of.parameters:,} parameters\n"
        )


def cost_of(params: "Params", spec: DataSpec, arrays: Arrays, counts: tuple[int, int], prepare: float) -> Cost:
    """`arrays` are some prepared examples; `counts` are those to learn from and to judge with."""
    of = measure(params, spec, arrays)
    train, test = counts
    device = pick_device(params.runtime.device)
    samples = params.evaluate.samples(test) if hasattr(params.evaluate, "samples") else test
    seconds = {name: starts * of.start for name, starts in _STARTS.items()}
    seconds["prepare"] += prepare
    if getattr(params.source, "clusters", None) is not None:
        seconds["shard"] += (train + test) * of.looked
    seconds["train"] += params.train.steps * of.step
    seconds["reference"] += _reference_seconds(params, of, counts)
    seconds["evaluate"] += _evaluate_seconds(params, of, samples)
    item = float(np.prod(spec.shape)) * (1 if spec.levels else 4)
    data = (train + test) * item
    disk = (
        2 * (2.5 * data + 4 * of.parameters * (_WEIGHTS + _BUNDLE))
        + 4 * of.parameters * _CHECKPOINT * params.train.keep_checkpoints
    )
    disk += 2 * 4 * 1280 * min(train + test, 10_000) * bool(of.looked) + 30e6
    return Cost(
        seconds,
        of.memory + data + 4 * 1280 * min(train + test, 12_500) * bool(of.looked),
        disk,
        of,
        device.type.upper(),
    )


def _reference_seconds(params: "Params", of: Measured, counts: tuple[int, int]) -> float:
    if not of.looked:
        return 0.0
    config, (train, test) = params.reference, counts
    most = min(train, config.judge_images) if of.classified else train
    controls = _CONTROL_SETS * min(config.control_images, test)
    return float(of.looked * (most + test + controls) + of.classified * config.classifier.steps)


def _evaluate_seconds(params: "Params", of: Measured, samples: int) -> float:
    evaluations = samples * _evaluations(params) * getattr(params.evaluate, "samples_each", 1)
    looked = float(samples)
    panels = getattr(params.evaluate, "panels", None)
    if panels is not None:
        images = min(panels.images, samples)
        evaluations += images * sum(panels.steps) * _evaluations(params) / params.sample.sampler.steps
        looked += images * len(panels.steps)
        evaluations += min(params.evaluate.bits_images, samples) * params.evaluate.bits_levels
    return evaluations * of.evaluation + looked * of.looked


def _evaluations(params: "Params") -> float:
    """Network evaluations a sample; guided steps take two."""
    guidance, steps = params.sample.guidance, params.sample.sampler.steps
    share = 1.0 if guidance.interval is None else guidance.interval[1] - guidance.interval[0]
    return steps * (1.0 + (share if guidance.weight else 0.0))


def measure(params: "Params", spec: DataSpec, arrays: Arrays) -> Measured:
    start = _start_seconds()
    device, config = pick_device(params.runtime.device), params.train
    precision, threads = pick_precision(config.precision, device), in_use(params.runtime.threads)
    make_repeatable(threads, precision, order_of(params))
    told = spec_of_network(config.conditioning, spec)
    model_config, _ = params.model.resolved(spec, lambda: arrays["x"])
    model_config.check(told)
    seed_network(config.seed, 0)
    model = laid_out(model_config.build(told, params.diffusion.learned_variance), device)
    objective = params.diffusion.build(told, LabelDropout(told.null, config.label_dropout) if told.null else None)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    timed = config.batch_size if parameters < _LARGE or device.type != "cpu" else min(_FEW, config.batch_size)
    batch = rows_of(arrays, np.resize(np.arange(len(arrays["x"])), timed))
    augment = kind_of(spec.kind).augmenter(config.augment, config.seed, told)

    def batches(first: int) -> Iterator[Batch]:
        return encoded(repeat(batch), first, augment, slice(0, timed), told)

    alone = replace(config, batch_size=timed, checkpoint_every=10**6, sample_every=0, hold_out=0, init_from=None)
    trainer = Trainer(model, objective, alone, batches, device=device, dtype=dtype_of(precision))
    step = median(_intervals(trainer)) * config.batch_size / timed
    evaluation = _evaluation_seconds(trainer, next(batches(0)))
    timed_call = partial(_middle, device.type)
    looked, classified = kind_of(spec.kind).measuring_seconds(params.reference, told, arrays, device, timed_call)
    return Measured(step, evaluation, start, looked, classified, parameters, _peak(), threads)


def _start_seconds() -> float:
    code = (
        "import torch, mlflow, pandas, pipelines.stages.train, pipelines.stages.export, pipelines.tracking.mlflow_store"
    )
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    passed, after = time.perf_counter() - began, os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return min(passed, 1.2 * spent)  # a start waits for the disk too


@dataclass
class _Clock:
    """Seconds since the last look: those that passed, or on a CPU those that were computed, if these are fewer."""

    device: str
    passed: float = 0.0
    spent: float = 0.0

    def look(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        passed, spent = time.perf_counter(), time.process_time()
        found = (passed - self.passed, spent - self.spent)
        self.passed, self.spent = passed, spent
        return min(found) if self.device == "cpu" else found[0]


def _intervals(trainer: Trainer) -> list[float]:
    """Seconds from step to step, without the first ones."""
    found: list[float] = []
    began, clock = time.perf_counter(), _Clock(trainer.device.type)
    with closing(trainer.run()) as reports:
        for nth, _ in enumerate(reports, 1):
            seconds = clock.look()
            if nth > _WARM_UP:
                found.append(seconds)
            if len(found) == _STEPS or (found and time.perf_counter() - began > _SECONDS):
                break
    return found


def _evaluation_seconds(trainer: Trainer, batch: Batch) -> float:
    """Of the network in float32 and without gradients, a sample: through the loss, for only the objective knows what
    each network is told. One that makes a horizon step after step answers here for all of its steps at once.
    """
    model, objective = trainer.model, trainer.objective
    draw = objective.draw(batch.to(trainer.device), 0, 0, WHOLE)
    with torch.no_grad():
        return _middle(trainer.device.type, lambda: objective.loss(model, draw)) / len(batch)


def _middle(device: str, call: Callable[[], Any], turns: int = 4) -> float:
    """The median of a few turns after the first."""
    clock, found = _Clock(device), []
    for _ in range(turns):
        clock.look()
        call()
        found.append(clock.look())
    return median(found[1:])


def _peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _brief(seconds: float) -> str:
    milliseconds = 1000 * seconds
    if milliseconds < 10:
        return f"{milliseconds:.2g} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{seconds:.0f} s"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"


def _size(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
