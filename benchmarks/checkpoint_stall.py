"""What a checkpoint costs the step in which it begins, and the steps while it is written.

    python benchmarks/checkpoint_stall.py

The network, the batch and the optimiser are those of params.yaml, the pictures are noise. Steps with nothing else going
on, with a save that is begun (a copy, then a thread), and with one that is waited for, take turns in one process.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from ddpm_core.device import dtype_of, make_repeatable, pick_device, pick_precision, seed_network
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import build_objective
from ddpm_core.spec import labelled
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.trainer import Trainer
from pipelines.params import Params, load_params

ROOT = Path(__file__).parents[1]
TEXTS = {
    "quiet": "a step",
    "begin": "beginning a save",
    "beside": "a step beside a save",
    "waited": "a save that is waited for",
}
SPEC = labelled((1, 28, 28), (-1.0, 1.0), 256, tuple("0123456789"))


def noise(size: int) -> Iterator[Batch]:
    rng = np.random.default_rng(0)
    x0 = torch.from_numpy(rng.uniform(-1, 1, (size, *SPEC.shape)).astype(np.float32))
    label = torch.from_numpy(rng.integers(0, len(SPEC.classes), size))
    while True:
        yield Batch(x0, {"label": label})


def trainer_in(folder: Path, params: Params) -> Trainer:
    device = pick_device(params.runtime.device)
    config = replace(params.train, steps=1_000_000, checkpoint_every=1_000_000, sample_every=0)
    seed_network(0, 0)
    return Trainer(
        replace(params.model, refine=0).build(SPEC, params.diffusion.learned_variance),
        build_objective(params.diffusion, SPEC, LabelDropout({"label": len(SPEC.classes)}, 0.1)),
        config,
        lambda _start: noise(config.batch_size),
        device=device,
        dtype=dtype_of(pick_precision(config.precision, device)),
        checkpoints=Checkpoints(folder, 2),
    )


def measure(trainer: Trainer, rounds: int, after: int) -> dict[str, list[float]]:
    """Seconds of: a quiet step; the call that begins a save; the step after it; a save that is waited for."""
    steps = trainer.run()
    times: dict[str, list[float]] = {"quiet": [], "begin": [], "beside": [], "waited": []}

    def timed(kind: str, work: object) -> None:
        began = perf_counter()
        work()  # type: ignore[operator]
        times[kind].append(perf_counter() - began)

    def step() -> None:
        next(steps)

    step()
    trainer.save()
    for _ in range(rounds):
        for _ in range(after):
            timed("quiet", step)
        timed("begin", trainer._begin_save)
        timed("beside", step)
        trainer._end_save()
        step()
        timed("waited", trainer.save)
    steps.close()
    return times


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=12)
    arguments.add_argument("--after", type=int, default=3, help="steps that are timed beside a save, and without one")
    arguments.add_argument("--threads", type=int, default=None)
    asked = arguments.parse_args()
    params = load_params(ROOT / "params.yaml")
    make_repeatable(asked.threads or params.runtime.threads)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        trainer = trainer_in(Path(folder), params)
        times = measure(trainer, asked.rounds, asked.after)
        size = sum(file.stat().st_size for file in Path(folder).glob("step-*/tensors.safetensors")) / 2e6
    typical = {kind: median(values) for kind, values in times.items()}
    print(f"{torch.get_num_threads()} threads, {trainer.dtype}, {size:.1f} MB a checkpoint, medians")
    for kind, text in TEXTS.items():
        print(f"{text:26} {typical[kind] * 1e3:8.1f} ms {typical[kind] / typical['quiet']:8.1%} of a step")


if __name__ == "__main__":
    main()
