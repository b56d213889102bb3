# ruff: noqa: E402 - the environment is set before torch is imported
"""Wall seconds of training steps by one thread and by two, in turns, on the machine as it is and beside busy loops.

    python benchmarks/threads_beside.py --busy 0 1 2
    python benchmarks/threads_beside.py --steps 4 --rounds 5 --busy 1

The network and the batch are those of params.yaml; forward, backward and fused AdamW on fixed inputs. `auto` is what
`runtime.threads: auto` would take at that moment. What else is at work is said as the load before anything is started.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as the pipeline does
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "2"

import common
import torch

from ddpm_core.device import dtype_of, keep_memory, pick_precision
from ddpm_core.spec import labelled
from pipelines.params import load_params
from pipelines.runtime.threads import measured

PARAMS = load_params(Path(__file__).parents[1] / "params.yaml")
SPEC = labelled((1, 28, 28), (-1.0, 1.0), 256, tuple("0123456789"))


def loop() -> None:
    while True:
        pass


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    others = [multiprocessing.get_context("spawn").Process(target=loop, daemon=True) for _ in range(count)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


class Training:
    """Steps of the default network on one batch."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        keep_memory()
        self.net = replace(PARAMS.model, refine=0).build(SPEC, PARAMS.diffusion.learned_variance)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=1e-4, fused=True)
        size = PARAMS.train.batch_size
        self.x, self.target = torch.randn(2, size, *SPEC.shape).unbind()
        self.t, self.label = torch.arange(size) * 10.0, torch.arange(size) % 10
        self.dtype = dtype_of(pick_precision(PARAMS.train.precision, torch.device("cpu")))

    def steps(self, threads: int, count: int) -> None:
        torch.set_num_threads(threads)
        for _ in range(count):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                loss = (self.net(self.x, self.t, self.label) - self.target).square().mean()
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="busy loops beside it, one row each")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(common.machine("torch"), f"\nload before: {os.getloadavg()[0]:.1f}", flush=True)
    training, rows = Training(), []
    for count in args.busy:
        with busy(count):
            chosen = measured()
            sides = {f"{n}": (lambda n=n: training.steps(n, args.steps)) for n in (1, 2)}
            times = common.interleaved(sides, args.rounds)
        pairs = sorted(two / one for one, two in zip(times["1"].wall, times["2"].wall, strict=True))
        walls = [f"{times[name].median_wall / args.steps:.3f}" for name in sides]
        rows.append(
            [str(count), *walls, f"{pairs[len(pairs) // 2]:.2f} ({pairs[0]:.2f} to {pairs[-1]:.2f})", str(chosen)]
        )
    print(common.table(("busy loops", "1 thread, s a step", "2 threads, s a step", "2 / 1, pairs", "auto takes"), rows))


if __name__ == "__main__":
    main()
