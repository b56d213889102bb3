"""A tiny training as one of the processes that a launcher starts; what came out is left in a folder as JSON."""

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tiny
import torch
from torch import nn

from ddpm_core.errors import ContractFailed, DdpmError
from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.objectives.batch import Batch, Share
from ddpm_core.training.distributed import is_waiting, joined
from ddpm_core.training.signals import listening
from ddpm_core.training.trainer import Trainer

STEPS = 20
ROOM = 2  # items that a device short of memory holds at once


def result(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return value


def never_return() -> None:
    """Wait in C, where no signal is heard and none ends the wait: lock a mutex that is locked."""
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    for _ in range(2):
        libc.pthread_mutex_lock(mutex)


class Short:
    """An objective on a device that holds so few items from update `step` on."""

    def __init__(self, trainer: Trainer, step: int) -> None:
        self._own, self._trainer, self._step = trainer.objective, trainer, step

    def loss(self, net: nn.Module, draw: Draw) -> Loss:
        if self._trainer.step + 1 >= self._step and len(draw.t) > ROOM:
            raise torch.OutOfMemoryError("as if")
        return self._own.loss(net, draw)


def fail(folder: Path, args: argparse.Namespace, process: int) -> None:
    """What is to happen to a process: it is stuck, or it fails once the other one is."""
    stuck = folder / "stuck"
    if process == args.stuck:
        signal.signal(signal.SIGTERM, lambda *_: None)  # what comes before the call is not heard either
        stuck.touch()
        never_return()
    if process != args.fail_by:
        return
    while args.stuck is not None and not stuck.exists():
        time.sleep(0.01)
    (folder / "died").touch()
    if args.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ContractFailed(f"as if in process {process}")


def train(folder: Path, args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    hears = listening(second_leaves=False, may_wait=is_waiting, answer_seconds=args.grace)
    with hears as stop, joined("cpu", grace=args.grace) as processes:
        share = Share(processes.number, processes.count)

        def batches(start: int) -> Iterator[Batch]:
            for step, whole in enumerate(tiny.batches(start), start):
                own = share.rows(args.rows)
                x0 = whole.x0[own].clone()
                if step == args.nan_at and processes.number == 1:
                    x0[0] = float("nan")
                yield Batch(x0, {name: value[own] for name, value in whole.cond.items()})

        trainer = tiny.trainer(
            folder / "checkpoints",
            source=batches,
            learning_law=True,
            dropout=0.0,
            processes=processes,
            should_stop=stop,
            steps=10_000 if args.slowly else STEPS,
            log_every=1,
            accumulate=args.accumulate,
        )
        if args.short_at and processes.number == 1:
            trainer._passes._objective = Short(trainer, args.short_at)
        trainer.resume()
        resumed = trainer.step
        for report in trainer.run():
            if report.step == args.fail_at and resumed == 0:
                fail(folder, args, processes.number)
            if args.slowly:
                (folder / f"running-{processes.number}").write_text(str(os.getpid()))
                time.sleep(0.02)
        if processes.number == 0:
            value = {
                "losses": [measures.loss for measures in trainer.history],
                "norms": [measures.grad_norm for measures in trainer.history],
                "bands": [[band or 0.0 for band in measures.bands] for measures in trainer.history],
                "law": trainer.objective.state_dict()["losses"],
                "average": torch.cat([p.flatten() for p in trainer.ema.model.parameters()]).tolist(),
                "resumed": resumed,
                "writers": [processes.number],
                "count": processes.count,
                "parts": trainer.parts,
            }
            (folder / "result.json").write_text(json.dumps(value))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--rows", type=int, default=8, help="of a whole batch")
    parser.add_argument("--nan-at", type=int)
    parser.add_argument("--short-at", type=int, help="process 1 is short of memory from this step on")
    parser.add_argument("--fail-at", type=int)
    parser.add_argument("--fail-by", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="fail by kill -9")
    parser.add_argument("--stuck", type=int, help="this process is in C for ever when the other fails")
    parser.add_argument("--grace", type=float, default=120.0)
    parser.add_argument("--slowly", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        train(arguments.folder, arguments)
    except DdpmError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
