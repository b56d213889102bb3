"""Checks 6 to 9: short memory, a process group of one, saves beside steps, the profile."""

import gc
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu_acceptance import Record
from gpu_common import (
    OPTIMISERS,
    Context,
    batch_of,
    config_of,
    objective_of,
    prepare,
    scratch,
    tensors_of,
    trainer_of,
)
from gpu_tensors import unequal, weights_of
from torch import nn

from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.compiled import compiler
from ddpm_core.training.distributed import ALONE, Group
from ddpm_core.training.held_out import HeldOut
from ddpm_core.training.profile import profiled

EXACT, SLOWER = 1e-5, 1.3


# --------------------------------------------------------------------------------------- 6: a batch cut for memory


class Cramped:
    """An objective under which a batch above a size is out of memory, in training alone."""

    def __init__(self, objective: DiffusionObjective, largest: int) -> None:
        self._objective, self._largest = objective, largest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def loss(self, net: nn.Module, draw: Draw) -> Loss:
        if len(draw.t) > self._largest and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("as if the memory were full")
        return self._objective.loss(net, draw)


def cuts(context: Context, record: Record) -> None:
    """With memory for six tenths of a batch the same losses come out, in training and on data held out.

    In toy size, and without a GPU, it is an objective that says that the memory is full.
    """
    dtype = prepare("fp32")
    size = context.size(128, 8)
    if context.cuda:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)
    whole = _of_memory(context, dtype, size)
    record.must("whole: parts", whole["parts"] == 1, whole["parts"])
    with _short_of_memory(context, whole):
        cut = _of_memory(context, dtype, size, largest=size // 2 if context.tiny or not context.cuda else None)
    record.at_least("parts", cut["parts"], 2)
    for what in ("losses", "held out"):
        apart = max(abs(a - b) / abs(b) for a, b in zip(cut[what], whole[what], strict=True))
        record.at_most(f"{what} apart", apart, EXACT)


def _of_memory(context: Context, dtype: torch.dtype, size: int, largest: int | None = None) -> dict[str, Any]:
    """Losses of four steps, of the data held out, and what memory it took."""
    spec = context.cifar[1]
    objective: Any = objective_of(spec) if largest is None else Cramped(objective_of(spec), largest)
    config = config_of(steps=4, log_every=1, checkpoint_every=2, batch_size=size, lr=1e-4, warmup_steps=1)
    held_out = HeldOut(
        objective_of(spec), [batch_of(spec, size, 1000 + k) for k in range(2)], 3, device=context.device, dtype=dtype
    )
    trainer = trainer_of(context, context.cifar, config, dtype, objective=objective, held_out=held_out)
    reports = list(trainer.run())
    found = {
        "parts": trainer.parts,
        "losses": [report.measures.loss for report in reports if report.measures is not None],
        "held out": [report.held_out for report in reports if report.held_out is not None],
    }
    if context.cuda:
        found["peak"] = torch.cuda.max_memory_allocated(context.device)
        found["kept"] = torch.cuda.memory_allocated(context.device)
    return found


@contextmanager
def _short_of_memory(context: Context, whole: dict[str, Any]) -> Iterator[None]:
    """Room for what stays between steps and for six tenths of what a whole batch takes besides."""
    if context.tiny or not context.cuda:
        yield
        return
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(context.device).total_memory
    room = whole["kept"] + 0.6 * (whole["peak"] - whole["kept"])
    torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), context.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, context.device)
        gc.collect()
        torch.cuda.empty_cache()


# -------------------------------------------------------------------------------------- 7: a group of one process


def group_of_one(context: Context, record: Record) -> None:
    """A group of one process trains the same bits as no group; compiled, where graphs may be cut, the same losses."""
    from torch import distributed

    dtype = prepare("bf16" if context.cuda else "fp32")
    alone = _trained(context, dtype, context.default, ALONE)
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")
    backend = "cpu:gloo,cuda:nccl" if context.cuda else "gloo"
    place = Path(tempfile.mkdtemp(prefix="gpu-acceptance-"))
    distributed.init_process_group(backend, store=distributed.FileStore(str(place / "store"), 1), rank=0, world_size=1)
    try:
        grouped = _trained(context, dtype, context.default, Group())
        differing = unequal(alone[0], grouped[0])
        record.must("eager equal", not differing, differing[:5] or True)
        record.flush()
        if not context.compiling(record):
            return
        exact = prepare("fp32")
        with scratch() as code:
            sides = [
                _trained(context, exact, context.short, processes, compiled=compiler(code))
                for processes in (ALONE, Group())
            ]
        differing = unequal(sides[0][0], sides[1][0])
        record.note("compiled, tensors that differ in bits", len(differing))
        record.at_most("compiled, losses apart", abs(sides[1][1] / sides[0][1] - 1), EXACT)
    finally:
        distributed.destroy_process_group()
        shutil.rmtree(place, ignore_errors=True)


def _trained(context: Context, dtype: torch.dtype, which: Any, processes: Any, **options: Any) -> Any:
    """All weights after five steps, and the mean loss."""
    config = config_of(steps=5, batch_size=context.size(32, 4), optimiser=OPTIMISERS["muon"])
    trainer = trainer_of(context, which, config, dtype, processes=processes, **options)
    reports = list(trainer.run())
    return weights_of(trainer), reports[-1].measures.loss


# ------------------------------------------------------------------------------------------ 8: a save beside steps


def saves(context: Context, record: Record) -> None:
    """Steps while a checkpoint is copied and written, against steps without one; what is read back is equal."""
    dtype = prepare("bf16" if context.cuda else "fp32")
    every, beside = context.size((20, 8), (6, 3))
    config = config_of(steps=1000, log_every=1000, checkpoint_every=every, batch_size=context.size(64, 4))
    with scratch() as place:
        trainer = trainer_of(context, context.cifar, config, dtype, folder=place / "saves")
        reports = trainer.run()
        for _ in range(every + 1):  # the first save takes its memory too
            next(reports)
        _written(Checkpoints(place / "saves", 3), every)
        quiet = _timed(context, reports, every - 1)
        during = _timed(context, reports, beside)
        reports.close()
        record.note("step ms", 1e3 * median(quiet))
        record.note("step that begins a save", during[0] / median(quiet))
        slower = float(np.mean(during)) / median(quiet)
        if context.tiny:
            record.note("steps beside a save", slower)
        else:
            record.at_most("steps beside a save", slower, SLOWER)
        there = tensors_of(trainer, place / "saves")
        record.note("checkpoint MB", sum(tensor.nbytes for tensor in there.values()) / 1e6)
        mine = weights_of(trainer)
        del trainer, reports
        again = trainer_of(context, context.cifar, config, dtype, folder=place / "saves")
        record.must("taken up", again.resume())
        differing = unequal(mine, weights_of(again))
        record.must("weights equal", not differing, differing[:5] or True)
        differing = unequal(there, tensors_of(again, place / "saves"))
        record.must("saved again equal", not differing, differing[:5] or True)


def _written(checkpoints: Checkpoints, step: int) -> None:
    """Wait for a save that is being written."""
    ends = time.monotonic() + 60
    while step not in checkpoints.steps():
        if time.monotonic() > ends:
            raise AssertionError(f"the checkpoint of step {step} was to be written within a minute, and is not there")
        time.sleep(0.01)


def _timed(context: Context, reports: Iterator[Any], steps: int) -> list[float]:
    """Seconds of each step, its work on the GPU done."""
    taken = []
    for _ in range(steps):
        context.sync()
        began = time.perf_counter()
        next(reports)
        context.sync()
        taken.append(time.perf_counter() - began)
    return taken


# ------------------------------------------------------------------------------------------------------ 9: profile


def profiles(context: Context, record: Record) -> None:
    """The table of a profile: every share between 0 and 100 %, together 100 %."""
    dtype = prepare("bf16" if context.cuda else "fp32")
    config = config_of(steps=100, batch_size=context.size(64, 4), optimiser=OPTIMISERS["muon"])
    with scratch() as place:
        reports = trainer_of(context, context.default, config, dtype).run()
        text = profiled(reports, place, warm_up=3, steps=5, device=context.device)
        reports.close()
        record.must("files", all((place / name).stat().st_size > 0 for name in ("trace.json", "operators.txt")))
    shares = table_shares(text)
    record.note("table", text)
    parts = {name: share for name, share in shares.items() if name != "step"}
    record.at_most("shares less 100 %", abs(sum(parts.values()) - 100), 0.5)
    record.must("shares in range", bool(parts) and all(-0.5 <= share <= 100 for share in parts.values()), shares)
    passes = ("recorded",) if shares.get("recorded") else ("forward", "backward")  # a GPU does both as one recording
    record.must("forward and backward take time", all(shares.get(name, 0) > 0 for name in passes))


def table_shares(text: str) -> dict[str, float]:
    """The share in per cent of each row of a profile's table."""
    rows = re.findall(r"^(\w+)\s+-?[\d.]+ ms\s+(-?[\d.]+|nan|inf) %", text, re.MULTILINE)
    return {name: float(share) for name, share in rows}
