"""How much of sampling is the loop in numpy, beside the network: CPU time of the thread for each step of a plan.

    python benchmarks/loop_overhead.py --bundle out/bundle

`alone` is measured with a network that answers at once, so that only the loop's own work remains: the difference of
plans of 10 and of 110 steps. `beside` is measured with the network running between the steps, which empties the caches.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
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


def beside(sampler: Sampler, net: Timed, recipe: Recipe, n: int, repeats: int) -> tuple[float, float]:
    """Seconds a step of the network, and of the loop beside it."""
    networks, loops = list[float](), list[float]()
    net.runs = True
    for _ in range(repeats):
        net.seconds = 0.0
        taken = seconds_of(lambda: sampler.sample(recipe, range(n)))
        networks.append(net.seconds / recipe.rows)
        loops.append(taken / recipe.rows - networks[-1])
    return median(networks), median(loops)


def alone(sampler: Sampler, net: Timed, recipes: tuple[Recipe, Recipe], n: int, repeats: int) -> tuple[float, float]:
    """Seconds a step of the loop, and of what is done once, by a short and a long plan: the best of the repeats."""
    net.runs = False
    short, long = (min(seconds_of(partial(sampler.sample, each, range(n))) for _ in range(repeats)) for each in recipes)
    step = (long - short) / (recipes[1].rows - recipes[0].rows)
    return step, short - step * recipes[0].rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=10, help="beside the network")
    parser.add_argument("--repeats", type=int, default=9, help="beside the network")
    args = parser.parse_args()
    sampler = Sampler.open(args.bundle, "cpu")
    net = sampler._net = Timed(sampler.network)
    rows = []
    for kind in SAMPLERS:
        recipe = sampler.recipe(kind, args.steps, 0.0)
        plans = sampler.recipe(kind, 10, 0.0), sampler.recipe(kind, 110, 0.0)
        for n in (1, 16):
            network, loop = beside(sampler, net, recipe, n, args.repeats)
            step, once = alone(sampler, net, plans, n, 30)
            shares = [f"{1e6 * each:.0f} µs, {100 * each / network:.2f} %" for each in (step, loop)]
            rows.append([kind, str(n), f"{1e3 * network:.2f} ms", *shares, f"{1e6 * once:.0f} µs"])
    print(machine("onnxruntime-gpu", "numpy"))
    print(table(["sampler", "batch", "network", "loop alone", "loop beside it", "once a request"], rows))


if __name__ == "__main__":
    main()
