"""How much of sampling is the loop in numpy, beside the network: CPU time of the thread for each step of a plan.

    python benchmarks/loop_overhead.py --bundle out/bundle

A short and a long plan separate the time of a step from what is done once a request. `alone` is measured with a network
that answers at once, so that only the loop's own work remains. `beside` is measured with the network running between
the steps, which empties the caches.
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

SHORT = 10  # steps
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


def split(recipes: tuple[Recipe, Recipe], seconds: tuple[float, float]) -> tuple[float, float]:
    """Seconds a step, and once a request, from those of a short and a long plan."""
    short, long = recipes
    step = (seconds[1] - seconds[0]) / (long.rows - short.rows)
    return step, seconds[0] - step * short.rows


def beside(
    sampler: Sampler, net: Timed, recipes: tuple[Recipe, Recipe], n: int, repeats: int
) -> tuple[float, tuple[float, float]]:
    """Seconds a step of the network, and of the loop beside it: a step, and once a request. Medians."""
    net.runs = True
    network, loops = list[float](), (list[float](), list[float]())
    for _ in range(repeats):
        for recipe, loop in zip(recipes, loops, strict=True):
            net.seconds = 0.0
            taken = seconds_of(partial(sampler.sample, recipe, range(n)))
            network.append(net.seconds / recipe.rows)
            loop.append(taken - net.seconds)
    return median(network), split(recipes, (median(loops[0]), median(loops[1])))


def alone(sampler: Sampler, net: Timed, recipes: tuple[Recipe, Recipe], n: int, repeats: int) -> tuple[float, float]:
    """Seconds of the loop without the network: a step, and once a request. The best of the repeats."""
    net.runs = False
    short, long = (min(seconds_of(partial(sampler.sample, each, range(n))) for _ in range(repeats)) for each in recipes)
    return split(recipes, (short, long))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60, help="of the long plan beside the network")
    parser.add_argument("--repeats", type=int, default=9, help="beside the network")
    args = parser.parse_args()
    if args.steps <= SHORT:
        parser.error(f"--steps: must be above {SHORT}, the steps of the short plan, got {args.steps}")
    sampler = Sampler.open(args.bundle, "cpu")
    net = sampler._net = Timed(sampler.network)
    rows = []
    for kind in SAMPLERS:
        short, middle, long = (sampler.recipe(kind, steps, 0.0) for steps in (SHORT, args.steps, 110))
        for n in (1, 16):
            network, found = beside(sampler, net, (short, middle), n, args.repeats)
            each = [alone(sampler, net, (short, long), n, 30), found]
            steps = [f"{1e6 * step:.0f} µs, {100 * step / network:.2f} %" for step, _ in each]
            once = [f"{1e6 * seconds:.0f} µs" for _, seconds in each]
            rows.append([kind, str(n), f"{1e3 * network:.2f} ms", *steps, *once])
    print(machine("onnxruntime-gpu", "numpy"))
    head = ["sampler", "batch", "network", "loop alone", "loop beside it", "once, alone", "once, beside it"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
