"""Stage train: shards to averaged weights and their curves, logged as it goes, resumed after an interruption."""

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

import ddpm_core
from ddpm_core.device import (
    describe,
    machine,
    make_repeatable,
    peak_memory,
    pick_device,
    pick_precision,
    precision_name,
    seed_network,
)
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.files import atomic_write_bytes, atomic_write_text, sha256_file
from ddpm_core.models import build_model
from ddpm_core.objective import Batch, LabelDropout, build_objective
from ddpm_core.spec import DataSpec
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.config import Conditioning, TrainConfig
from ddpm_core.training.meter import BANDS, Measures
from ddpm_core.training.shelf import Shelf, key_of
from ddpm_core.training.signals import listening
from ddpm_core.training.trainer import StepReport, Trainer
from pipelines.params import as_flat
from pipelines.paths import Paths
from pipelines.tools.augment import augmenter
from pipelines.tools.git import commit_of
from pipelines.tools.preview import Preview
from pipelines.tools.shards import ShardIndex, read_index, stream

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.outputs import Run
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)

COLUMNS = ("step", "loss", "grad_norm", "lr", *(f"loss_band_{band + 1}" for band in range(BANDS)))
# Keys of section train without which the same bits come out; where a roll back leads to depends on the saves.
_CHANGES_NO_BIT, _SAVES = ("sample_every", "keep_checkpoints", "keep_trainings"), "checkpoint_every"
_CODE = ("diffusion", "models", "training", "process.py", "objective.py", "likelihood.py", "device.py", "spec.py")
_STAGE_CODE = ("stages/train.py", "tools/augment.py", "tools/shards.py", "tools/shard_index.py", "tools/shard_order.py")


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Train on data/shards; write out/weights.safetensors and out/curves.csv."""
    config: TrainConfig = params.train
    device = pick_device(params.runtime.device)
    dtype = pick_precision(config.precision, device)
    make_repeatable(params.runtime.threads)
    index = read_index(paths.shards)
    conditional = is_conditional(config.conditioning, index.spec)
    check_data(index, paths.shards, config)
    seed_network(config.seed, 0)
    model = build_model(params.model, index.spec, conditional, params.diffusion.learned_variance)
    identity = training_identity(params, index.digest, device, dtype)
    key = key_of(identity)
    dropout = LabelDropout({"label": len(index.spec.classes)}, config.label_dropout) if conditional else None
    with ExitStack() as stack:
        stop = stack.enter_context(listening())
        place = stack.enter_context(Shelf(paths.checkpoints, config.keep_trainings).held(identity, machine(device)))
        checkpoints = Checkpoints(place, config.keep_checkpoints)
        trainer = Trainer(
            model.to(memory_format=torch.channels_last) if device.type == "cuda" else model,
            build_objective(params.diffusion, index.spec, dropout),
            config,
            batch_source(config, index, paths.shards, conditional, params.runtime.workers),
            device=device,
            dtype=dtype,
            checkpoints=checkpoints,
            should_stop=stop,
        )
        resumed = trainer.resume()
        size = sum(parameter.numel() for parameter in model.parameters())
        log.info(
            "training %s parameters on %s in %s, %s, %d pictures, %d steps of %d",
            f"{size:,}",
            describe(device),
            precision_name(dtype),
            "with labels" if conditional else "without labels",
            index.count("train"),
            config.steps,
            config.batch_size,
        )
        tags = {
            "git.commit": commit_of(paths.root) or "none",
            "data.digest": index.digest,
            "train.digest": key,
            "device": describe(device),
            "precision": precision_name(dtype),
            "threads": str(params.runtime.threads),
            "parameters": str(size),
            "torch": torch.__version__,
            "resumed": str(resumed).lower(),
        }
        run_of_tracker = stack.enter_context(tracker.training_run(key, as_flat(params), tags))
        preview = Preview(trainer.ema.model, params.diffusion, index.spec, conditional, device, dtype)
        follow(trainer, config, index, run_of_tracker, preview)
        metadata = {
            "spec": index.spec.to_dict(),
            "model": asdict(params.model),
            "diffusion": asdict(params.diffusion),
            "conditional": conditional,
            "train_digest": key,
            "data_digest": index.digest,
            "steps": config.steps,
        }
        atomic_write_bytes(paths.weights, weights_bytes(trainer.ema.model, metadata))
        atomic_write_text(paths.curves, curves_text(trainer.history))
        run_of_tracker.log_file(paths.curves, "curves")
        run_of_tracker.finished(sha256_file(paths.weights))
        checkpoints.clear()


# ----------------------------------------------------------------------------------------------------- before


def is_conditional(conditioning: Conditioning, spec: DataSpec) -> bool:
    """Whether the network is told labels; `auto`: where there are two or more classes to tell apart."""
    if conditioning == "labels" and not spec.classes:
        raise ParamsError(
            "train.conditioning: labels needs data with classes, and these have none; set it to auto or none, or put "
            "the pictures of each class into a folder of its own"
        )
    return conditioning == "labels" or (conditioning == "auto" and len(spec.classes) >= 2)


def check_data(index: ShardIndex, folder: Path, config: TrainConfig) -> None:
    """Look at the first batch before any step: are there values to learn from, and are all of them in range?"""
    images, labels = next(stream(folder, "train", config.batch_size, seed=config.seed))
    low, high = int(images.min()), int(images.max())
    top, classes = (index.spec.levels or 1) - 1, len(index.spec.classes)
    if high > top:
        raise DataError(f"{folder}: a pixel must be from 0 to {top}, got {high}; run `ddpm prepare` again")
    if low == high:
        raise DataError(
            f"{folder}: the pictures must differ, but every pixel of the first {len(images)} is {low}; look at the "
            "pictures in data/images"
        )
    if classes and not (labels.min() >= -1 and labels.max() < classes):
        raise DataError(
            f"{folder}: a label must be from -1 to {classes - 1}, got {labels.min()} to {labels.max()}; "
            "run `ddpm shard` again"
        )


def training_identity(params: "Params", data_digest: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """All that the bits of a training depend on; its checkpoints lie under the digest of this."""
    here, core = Path(__file__).parents[1], Path(ddpm_core.__file__).parent
    files = [file for name in _CODE for file in _python_files(core / name)] + [here / name for name in _STAGE_CODE]
    changing_nothing = _CHANGES_NO_BIT if params.train.on_nonfinite == "roll_back" else (*_CHANGES_NO_BIT, _SAVES)
    train = {name: value for name, value in asdict(params.train).items() if name not in changing_nothing}
    return {
        "model": asdict(params.model),
        "diffusion": asdict(params.diffusion),
        "train": train,
        "data": data_digest,
        "code": {file.relative_to(here.parent).as_posix(): sha256_file(file) for file in sorted(files)},
        "torch": torch.__version__,
        "threads": params.runtime.threads,
        "device": device.type,
        "precision": precision_name(dtype),
    }


def _python_files(place: Path) -> list[Path]:
    return [place] if place.suffix == ".py" else sorted(place.rglob("*.py"))


def batch_source(
    config: TrainConfig, index: ShardIndex, folder: Path, conditional: bool, workers: int
) -> Callable[[int], Iterator[Batch]]:
    """`batches(k)`: the endless stream from batch k on, a function of (seed, k)."""
    augment = augmenter(config.augment, config.seed)
    null = len(index.spec.classes)

    def batches(start: int) -> Iterator[Batch]:
        source = stream(folder, "train", config.batch_size, seed=config.seed, start_batch=start, workers=workers)
        for step, (images, labels) in enumerate(source, start):
            x0 = torch.from_numpy(index.spec.encode(augment(images, step)))
            label = torch.from_numpy(np.where(labels < 0, null, labels))
            yield Batch(x0, {"label": label} if conditional else {})

    return batches


# ------------------------------------------------------------------------------------------------------ while


def follow(trainer: Trainer, config: TrainConfig, index: ShardIndex, run: "Run", preview: Preview) -> None:
    """Let the trainer run, showing and logging what it reports."""
    per_epoch = index.count("train") // config.batch_size
    bar = tqdm(total=config.steps, initial=trainer.step, desc="train", unit="step", disable=None)
    with bar, TemporaryDirectory() as scratch, closing(trainer.run()) as reports:
        for report in reports:
            bar.update(report.step - bar.n)
            if report.measures is not None:
                bar.set_postfix(loss=f"{report.measures.loss:.4f}")
                run.log_metrics({**logged(report, per_epoch), **peak_memory(trainer.device)}, report.step)
            if config.sample_every and (report.step % config.sample_every == 0 or report.step == config.steps):
                file = Path(scratch) / f"step-{report.step:07d}.png"
                file.write_bytes(preview.png())
                run.log_file(file, "samples")


def logged(report: StepReport, per_epoch: int) -> dict[str, float]:
    """A window's numbers by their names in the tracker: the columns of curves.csv, and the pace."""
    if report.measures is None:
        return {}
    row = dict(zip(COLUMNS, _row(report.measures), strict=True))
    values = {name: float(value) for name, value in row.items() if name != "step" and value is not None}
    pace = {"images_per_second": report.items_per_second, "data_wait": report.data_wait}
    values |= {name: value for name, value in pace.items() if value is not None}
    if report.nonfinite:
        values["nonfinite_steps"] = report.nonfinite
    return {**values, "epoch": report.step / per_epoch}


# ------------------------------------------------------------------------------------------------------ after


def weights_bytes(model: nn.Module, metadata: dict[str, Any]) -> bytes:
    """The weights as a safetensors file with one metadata key (the order of several would be random)."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, {"ddpm": json.dumps(metadata, sort_keys=True)})


def curves_text(history: list[Measures]) -> str:
    """The curves as CSV: the shortest text that reads back to the same number, empty where a band was not drawn."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if value is None else repr(value) for value in _row(measures)] for measures in history)
    return text.getvalue()


def _row(measures: Measures) -> tuple[float | None, ...]:
    return (measures.step, measures.loss, measures.grad_norm, measures.lr, *measures.bands)
