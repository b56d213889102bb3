"""CPU milliseconds a sample of several bundles, each by its own recipe: they take turns in one process on one thread.

    python benchmarks/picture_cost.py teacher=out/bundle student=student/bundle int8=student/bundle.variants/int8

The first sample of each sets up and is not counted. The ratio is to the first bundle, by turns.
"""

import argparse
from functools import partial
from pathlib import Path

import common  # one thread, before numpy and onnxruntime
import numpy as np

from ddpm_core.spec import in_turn
from pipelines.sampling.bundle_sampler import Sampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--n", type=int, default=64, help="samples at once")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    samplers = {}
    for text in args.bundles:
        name, _, folder = text.partition("=")
        samplers[name] = Sampler.open(Path(folder), "cpu")
    cond = {name: in_turn(each.bundle.spec, args.n) for name, each in samplers.items()}
    recipes = {name: each.recipe() for name, each in samplers.items()}
    print(common.machine("onnxruntime-gpu", "numpy"))
    sides = {
        name: partial(each.sample, recipes[name], range(args.n), cond[name], batch_size=args.n)
        for name, each in samplers.items()
    }
    found = common.interleaved(sides, args.repeats)
    first = np.array(found[next(iter(found))].cpu)
    rows = []
    for name, times in found.items():
        ms = 1000 * np.array(times.cpu) / args.n
        ratios = first / np.array(times.cpu)
        rows.append(
            [
                name,
                str(recipes[name].cost(1)),
                f"{np.median(ms):.2f} ({ms.min():.2f} to {ms.max():.2f})",
                f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
            ]
        )
    print(common.table(["bundle", "evaluations", "CPU ms a sample", "times less"], rows))


if __name__ == "__main__":
    main()
