"""Kill -9 at random moments, within saves too: does every training end with the very bytes of one left alone?

    python benchmarks/kill_resume.py --kills 200 --work /tmp/kills

Stage train on synthetic pictures with a small U-Net on the CPU, a checkpoint after each of 60 steps. A child process is
killed after a random time (seeded), the next one takes up what it left; when one comes to its end, its weights, curves
and logged losses are compared with those of an uninterrupted training, and a new training begins. Progress is kept in
the work folder, so that the same command goes on after its own interruption.
"""

import argparse
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ddpm_core.files import atomic_write_json, sha256_file
from ddpm_core.spec import labelled
from ddpm_core.training.lr import build_optimiser
from pipelines.kinds.pictures.rows.examples import example
from pipelines.params import Params, load_params
from pipelines.paths import Paths
from pipelines.shards.archive import Example, ShardConfig, write_shards
from pipelines.stages import train

ROOT = Path(__file__).parents[1]
STEPS, SAVED_EVERY = 60, 1


class Told:
    """Stands for the tracker: every number that is logged is appended to a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def training_run(self, key: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator["Told"]:
        self._write({"resumed": tags["resumed"]})
        yield self

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        bits = {name: value.hex() for name, value in metrics.items() if name.startswith(("loss", "grad_norm", "lr"))}
        self._write({"step": step, **bits})

    def log_file(self, path: Path, folder: str) -> None:
        """Pictures are no part of this."""

    def finished(self, weights_sha256: str) -> None:
        self._write({"weights": weights_sha256})

    def _write(self, value: Mapping[str, Any]) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(value) + "\n")


@dataclass
class Progress:
    """What was seen so far."""

    kills: int = 0
    within_saves: int = 0
    resumed: int = 0
    trainings: int = 0
    different: int = 0


SPEC = labelled((1, 8, 8), (-1.0, 1.0), 256, ("a", "b"))


def pictures(number: int) -> Iterator[Example]:
    for i in range(number):
        image = np.zeros((1, 8, 8), np.uint8)
        image[0, i % 8] = 40 + 10 * (i % 20)
        yield example(f"{i:016x}", image, i % 2, SPEC)


def small(params: Params) -> Any:
    model = replace(params.model, patch=1, channels=16, multipliers=(1, 2), blocks=1, attention_levels=(), heads=1)
    config = replace(
        params.train,
        steps=STEPS,
        batch_size=8,
        warmup_steps=5,
        log_every=5,
        sample_every=0,
        checkpoint_every=SAVED_EVERY,
        ema_more=(0.9,),
    )
    runtime = replace(params.runtime, device="cpu", threads=1, processes=1)
    return replace(params, model=replace(model, norm_groups=4), train=config, runtime=runtime)


def project(root: Path) -> Paths:
    paths = Paths(root=root, home=root / ".ddpm")
    if not paths.shards.exists():
        splits = {"train": list(pictures(64)), "test": list(pictures(8))}
        write_shards(paths.shards, SPEC, splits, ShardConfig(32, 8, 1000))
    return paths


def forked(paths: Paths, params: Any) -> int:
    """A child process that trains; the parent has imported all that it needs."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        torch.set_num_threads(1)
        train.run(params, paths, Told(paths.root / "told.jsonl"))  # type: ignore[arg-type]
        code = 0
    finally:
        os._exit(code)


def ending(paths: Paths) -> dict[str, Any]:
    """The bytes of weights and curves by their digests, and each logged number as its bits."""
    rows = [json.loads(line) for line in (paths.root / "told.jsonl").read_text().splitlines()]
    logged = {str(row["step"]): row for row in rows if "step" in row}
    again = [row for row in rows if "step" in row and row != logged[str(row["step"])]]
    return {
        "weights": sha256_file(paths.weights),
        "curves": sha256_file(paths.curves),
        "logged": logged,
        "logged twice with other bits": again,
    }


def clear(paths: Paths) -> None:
    shutil.rmtree(paths.root / "out", ignore_errors=True)
    shutil.rmtree(paths.home, ignore_errors=True)
    (paths.root / "told.jsonl").unlink(missing_ok=True)


def uninterrupted(paths: Paths, params: Any) -> tuple[dict[str, Any], float]:
    clear(paths)
    began = time.perf_counter()
    code = os.waitstatus_to_exitcode(os.waitpid(forked(paths, params), 0)[1])
    if code:
        raise SystemExit(f"the uninterrupted training must end well, but its exit code is {code}")
    return ending(paths), time.perf_counter() - began


def kill_once(paths: Paths, params: Any, after: float, progress: Progress) -> bool:
    """Whether a child that would be killed after so many seconds was; otherwise it came to its end."""
    child = forked(paths, params)
    until = time.perf_counter() + after
    while time.perf_counter() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    if os.WIFEXITED(os.waitpid(child, 0)[1]):
        return False
    progress.kills += 1
    progress.within_saves += any(paths.checkpoints.glob("*/.step-*.part"))
    return True


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--work", type=Path, default=Path("/tmp/ddpm-kills"))
    arguments.add_argument("--seconds", type=float, default=540.0, help="then it ends; the same command goes on")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    build_optimiser(load_params(ROOT / "params.yaml").train.optimiser, nn.Linear(2, 2))  # imports for seconds
    params, began = small(load_params(ROOT / "params.yaml")), time.perf_counter()
    kept = asked.work / "progress.json"
    progress = Progress(**json.loads(kept.read_text())) if kept.exists() else Progress()
    whole, span = uninterrupted(project(asked.work / "whole"), params)
    paths = project(asked.work / "killed")
    if not progress.kills:
        clear(paths)
    while progress.kills < asked.kills and time.perf_counter() - began < asked.seconds:
        moment = random.Random(progress.kills + 1000 * progress.trainings).uniform(0, 0.6 * span)
        if not kill_once(paths, params, moment, progress) or progress.kills == asked.kills:
            compare(paths, params, whole, progress)
        atomic_write_json(kept, asdict(progress))
    print(
        f"{progress.kills} kills, {progress.within_saves} of them within a save; {progress.resumed} processes went on "
        f"from a checkpoint; {progress.trainings} trainings came to their end, {progress.different} with other bytes "
        f"than the uninterrupted one ({span:.1f} s)"
    )


def compare(paths: Paths, params: Any, whole: Mapping[str, Any], progress: Progress) -> None:
    """Let the training end, compare it, and clear the room for the next."""
    if not paths.weights.exists() or not paths.curves.exists():
        os.waitpid(forked(paths, params), 0)
    rows = [json.loads(line) for line in (paths.root / "told.jsonl").read_text().splitlines()]
    progress.resumed += sum(row.get("resumed") == "true" for row in rows)
    progress.trainings += 1
    progress.different += ending(paths) != whole
    clear(paths)


if __name__ == "__main__":
    main()
