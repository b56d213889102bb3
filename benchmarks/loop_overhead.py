"""How much of sampling is the loop in numpy, beside the network: CPU time of the thread for each step of a plan.

    python benchmarks/loop_overhead.py --bundle out/bundle

`beside` is measured with the network running between the steps, which empties the caches; `alone` with a network that
answers at once, so that only the loop's own work remains.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from common import machine, table

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnx_denoiser import Net
from pipelines.sampling.recipe import Recipe

SAMPLERS = ("unipc_2", "ddim", "dpmpp_2m", "ancestral")


class Timed:
    """A network and the CPU seconds that it took, or the last answer again where it only pretends to run."""

    def __init__(self, net: Net) -> None:
        self._net, self.seconds, self.runs, self._last = net, 0.0, True, dict[int, Any]()

    def __call__(self, x: Any, t: Any, cond: Mapping[str, Any]) -> Any:
        if not self.runs:
            return self._last[len(x)]
        began = time.thread_time()
        out = self._last[len(x)] = self._net(x, t, cond)
        self.seconds += time.thread_time() - began
        return out


def seconds_of(run: Callable[[], object]) -> float:
    began = time.thread_time()
    run()
    return time.thread_time() - began


def measured(sampler: Sampler, net: Timed, recipe: Recipe, n: int, repeats: int) -> tuple[float, float, float]:
    """Seconds a step: of the network, of the loop beside it, and of the loop alone."""
    beside, networks, alone = list[float](), list[float](), list[float]()

    def run() -> None:
        sampler.sample(recipe, range(n))

    for net.runs in [True, False] * repeats:
        net.seconds = 0.0
        taken = seconds_of(run) / recipe.rows
        if net.runs:
            networks.append(net.seconds / recipe.rows)
            beside.append(taken - networks[-1])
        else:
            alone.append(taken)
    return median(networks), median(beside), median(alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    sampler = Sampler.open(args.bundle, "cpu")
    net = sampler._net = Timed(sampler.network)
    rows = []
    for kind in SAMPLERS:
        recipe = sampler.recipe(kind, args.steps, 0.0)
        for n in (1, 16):
            network, beside, alone = measured(sampler, net, recipe, n, args.repeats)
            shares = [f"{1e6 * loop:.0f} µs, {100 * loop / network:.2f} %" for loop in (beside, alone)]
            rows.append([kind, str(n), f"{1e3 * network:.2f} ms", *shares])
    print(machine("onnxruntime-gpu", "numpy"))
    print(table(["sampler", "batch", "network", "loop beside it", "loop alone"], rows))


if __name__ == "__main__":
    main()
