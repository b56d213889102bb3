"""Stage train: train the network; write its averaged weights and curves; resume after an interruption."""

import csv
import io
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import fields, replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from ddpm_core.device import describe, machine, peak_memory, set_order
from ddpm_core.errors import DdpmError, ParamsError
from ddpm_core.files import atomic_write_bytes, atomic_write_text, sha256_file
from ddpm_core.models import ModelConfig
from ddpm_core.objectives.base import BANDS
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.distributed import ALONE, is_launched, is_waiting, joined, left_alone
from ddpm_core.training.meter import Measures
from ddpm_core.training.run_folders import RunFolders, ThreadsByStep, finish, outputs_of, start_over
from ddpm_core.training.signals import listening
from ddpm_core.training.trainer import StepReport, Trainer
from pipelines.params import as_flat, read_yaml
from pipelines.paths import Paths
from pipelines.runtime.progress import Progress
from pipelines.training.outputs import check_room, link_outputs, md5_file, outputs_in, taken_from_links
from pipelines.training.preview import Preview
from pipelines.training.rollback_log import RollbackLog
from pipelines.training.setup import TrainingSetup, first_examples, order_of
from pipelines.training.weights_file import HELD_OUT, about_best, about_training, tensors_of, weights_bytes
from pipelines.versioning.git import commit_of

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.stage_records import Run
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)

COLUMNS = ("step", "loss", "grad_norm", "lr", *(f"loss_band_{band + 1}" for band in range(BANDS)))
_PROFILE_WARM_UP, _PROFILE_STEPS = 5, 10


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Train on data/shards; write out/weights.safetensors and out/curves.csv."""
    left = left_alone()
    set_order(order_of(params))  # before a group of processes is made, which reads it
    alone = not is_launched()
    hears = listening(second_leaves=alone, may_wait=None if alone else is_waiting)
    with hears as stop, joined(params.runtime.device, params.runtime.deterministic) as processes:
        setup = TrainingSetup.of(params, paths, processes)
        if processes.number == 0:
            run_first(setup, params, paths, tracker, lambda: stop() or left())
        else:
            trainer = setup.trainer(None, lambda: stop() or left())
            trainer.resume()
            for _ in trainer.run():
                pass


def run_first(
    setup: TrainingSetup, params: "Params", paths: Paths, tracker: "Tracker", should_stop: Callable[[], bool]
) -> None:
    """Train as the process that saves, logs and writes; there may be no other."""
    config = setup.config
    with ExitStack() as stack:
        folders = RunFolders(paths.checkpoints, config.keep_trainings)
        folder = stack.enter_context(folders.locked(setup.identity, machine(setup.device), should_stop=should_stop))
        checkpoints = Checkpoints(folder, config.keep_checkpoints)
        trainer = setup.trainer(checkpoints, should_stop)
        if (before := outputs_of(folder)) is not None and committed(before, paths):
            start_over(folder)  # DVC has those outputs, so the user asked for a new training
        elif before is not None and not checkpoints.steps() and taken_from_links(folder, before, outputs_in(paths)):
            log.info("the training is already finished; its outputs are those that it wrote")
            return
        resumed = trainer.resume()
        done = trainer.step == config.steps  # a finished training: its outputs are written again
        threads = (
            folders.threads(setup.identity)
            if done
            else folders.record_threads(setup.identity, trainer.step, setup.threads)
        )
        size = sum(parameter.numel() for parameter in trainer.model.parameters())
        if not done:
            check_room(paths, 4 * size, 1 + len(config.ema_more))
        log.info("training %s parameters on %s", f"{size:,}", setup)
        tags = {**_tags(setup, threads), "parameters": str(size), "resumed": str(resumed).lower()}
        run_of_tracker = stack.enter_context(tracker.training_run(setup.key, as_flat(params), tags))
        rollback_log = RollbackLog(
            run_of_tracker, lambda: max(checkpoints.steps(), default=0), waits=config.on_nonfinite == "roll_back"
        )
        with closing(rollback_log):
            follow(trainer, setup.shown // config.batch_size, rollback_log, run_of_tracker, _preview(setup, trainer))
        keep_last_step(trainer, checkpoints)
        about = {**about_training(setup, threads), **about_best(trainer)}
        atomic_write_bytes(paths.weights, weights_bytes(tensors_of(trainer), about))
        atomic_write_text(paths.curves, curves_text(trainer.history, trainer.best.losses if trainer.best else None))
        run_of_tracker.set_tags({f"best.{name}": str(value) for name, value in about.get("best", {}).items()})
        run_of_tracker.log_file(paths.curves, "curves")
        run_of_tracker.finished(sha256_file(paths.weights))
        if trainer.step not in checkpoints.steps():
            link_outputs(folder, outputs_in(paths))
        finish(folder, {name: md5_file(file) for name, file in outputs_in(paths).items()})


def _preview(setup: TrainingSetup, trainer: Trainer) -> Preview:
    return Preview(
        trainer.ema.model,
        setup.params.diffusion,
        setup.spec,
        setup.device,
        setup.dtype,
        lambda: first_examples(setup.index, 100),
    )


def _tags(setup: TrainingSetup, threads: ThreadsByStep) -> dict[str, str]:
    """What the tracker is told of a training: its data, code and machine."""
    return {
        "git.commit": commit_of(setup.paths.root) or "none",
        "data.digest": setup.index.digest,
        "train.digest": setup.key,
        "device": describe(setup.device),
        "precision": setup.precision,
        "deterministic": str(setup.identity["deterministic"]).lower(),
        "threads": ", ".join(str(number) for _, number in threads),
        "processes": str(setup.processes.count),
        "compiled": str(setup.identity["compiled"]).lower(),
        **resolved_keys(setup.params.model, setup.model_config),
        "torch": torch.__version__,
    }


def profile(params: "Params", paths: Paths) -> str:
    """Profile a few steps: write out/profile and nothing else; gives the table of times."""
    from ddpm_core.training.profile import profiled

    setup = TrainingSetup.of(params, paths, ALONE)
    needed = _PROFILE_WARM_UP + _PROFILE_STEPS + 1
    setup = replace(setup, config=replace(setup.config, steps=max(needed, setup.config.steps), hold_out=0))
    with closing(setup.trainer(None, lambda: False).run()) as reports:
        return profiled(reports, paths.profile, warm_up=_PROFILE_WARM_UP, steps=_PROFILE_STEPS, device=setup.device)


def probe(params: "Params", paths: Paths) -> str:
    """Train on one batch, writing nothing: a report, or an error if the network could not learn it."""
    from ddpm_core.training.probe import OneDraw, judged, probing

    setup = TrainingSetup.of(params, paths, ALONE)
    batch = next(setup.batches(0))
    trainer = Trainer(
        setup.network(),
        OneDraw(setup.objective()),
        probing(setup.config),
        lambda _start: repeat(batch),
        device=setup.device,
        dtype=setup.dtype,
    )
    for _ in trainer.run():
        pass
    return judged(trainer.history)


# ------------------------------------------------------------------------------------------------------ while


def follow(trainer: Trainer, per_epoch: int, rollback_log: RollbackLog, run: "Run", preview: Preview) -> None:
    """Run the trainer; show and log what it reports."""
    config = trainer.config
    bar = Progress(config.steps, "train", "steps", done=trainer.step)
    with bar, TemporaryDirectory() as scratch, closing(trainer.run()) as reports:
        for report in reports:
            bar.update(report.step - bar.done)
            rollback_log.step_done(report.step, report.nonfinite)
            if report.measures is not None:
                bar.note(f"loss {report.measures.loss:.4f}")
                rollback_log.log_metrics(
                    {**logged(report, per_epoch), **peak_memory(trainer.device), **in_parts(trainer)}, report.step
                )
            if config.sample_every and (report.step % config.sample_every == 0 or report.step == config.steps):
                file = Path(scratch) / f"step-{report.step:07d}.png"
                file.write_bytes(preview.png())
                run.log_file(file, "samples")


def resolved_keys(asked: ModelConfig, built: ModelConfig) -> dict[str, str]:
    """The keys of section `model` that were `auto`, with the values used."""
    values = {field.name: getattr(built, field.name) for field in fields(built)}
    return {name: str(value) for name, value in values.items() if value != getattr(asked, name)}


def in_parts(trainer: Trainer) -> dict[str, float]:
    """The number of parts of a batch, if it had to be raised above `train.accumulate`."""
    return {"parts": float(trainer.parts)} if trainer.parts > trainer.config.accumulate else {}


def logged(report: StepReport, per_epoch: int) -> dict[str, float]:
    """A report's metrics by their names in the tracker: the columns of curves.csv, and the speed."""
    if report.measures is None:
        return {}
    row = dict(zip(COLUMNS, _row(report.measures), strict=True))
    values = {name: float(value) for name, value in row.items() if name != "step" and value is not None}
    speed = {"items_per_second": report.items_per_second, "data_wait": report.data_wait}
    values |= {name: value for name, value in speed.items() if value is not None}
    if report.held_out is not None:
        values[HELD_OUT] = report.held_out
    if report.nonfinite:
        values["nonfinite_steps"] = report.nonfinite
    return {**values, "epoch": report.step / per_epoch}


# ------------------------------------------------------------------------------------------------------ after


def keep_last_step(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Save the last step, so that a kill before DVC has the outputs does not cost the training."""
    if trainer.step in checkpoints.steps():
        log.info("the training is already finished; writing its outputs again")
        return
    try:
        trainer.save()
    except DdpmError as error:
        log.warning("%s; the weights are written all the same, without it", error)


def committed(outputs: Mapping[str, str], paths: Paths) -> bool:
    """Whether dvc.lock names exactly these outputs, so that DVC has them."""
    try:
        outs = read_yaml(paths.root / "dvc.lock")["stages"]["train"]["outs"]
        return {out["path"]: out["md5"] for out in outs} == dict(outputs)
    except (ParamsError, KeyError, TypeError):  # no dvc.lock, or it does not name them
        return False


def curves_text(history: list[Measures], held_out: Mapping[int, float] | None = None) -> str:
    """The curves as CSV: the shortest text that reads back to the same number, empty for a band without data.

    With held-out data a last column has their loss at the steps at which it was measured.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS if held_out is None else (*COLUMNS, HELD_OUT))
    for measures in history:
        row = _row(measures) if held_out is None else (*_row(measures), held_out.get(measures.step))
        writer.writerow(["" if value is None else repr(value) for value in row])
    return text.getvalue()


def _row(measures: Measures) -> tuple[float | None, ...]:
    return (measures.step, measures.loss, measures.grad_norm, measures.lr, *measures.bands)
