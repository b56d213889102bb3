"""A tiny training as one of the processes that a launcher starts; what came out is left in a folder as JSON."""

import argparse
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

from ddpm_core.errors import DdpmError
from ddpm_core.objective import Batch, Share
from ddpm_core.training.distributed import joined
from ddpm_core.training.signals import listening

STEPS = 20


def result(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return value


def train(folder: Path, args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as processes, listening(second_leaves=False) as stop:
        share = Share(processes.number, processes.count)

        def batches(start: int) -> Iterator[Batch]:
            for step, whole in enumerate(tiny.batches(start), start):
                own = share.rows(len(whole))
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
        trainer.resume()
        resumed = trainer.step
        for report in trainer.run():
            if report.step == args.kill_at and resumed == 0 and processes.number == 1:
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
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
            }
            (folder / "result.json").write_text(json.dumps(value))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--kill-at", type=int)
    parser.add_argument("--nan-at", type=int)
    parser.add_argument("--slowly", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        train(arguments.folder, arguments)
    except DdpmError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
