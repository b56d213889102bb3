"""CPU milliseconds a sample of several bundles, each by its own recipe: they take turns in one process on one thread.

    python benchmarks/picture_cost.py teacher=out/bundle student=student/bundle int8=student/bundle.variants/int8

The first sample of each sets up and is not counted. The ratio is to the first bundle, by turns. With --diffusers, in
the environment of `make install-peers`, the network of diffusers that came nearest in five times our training
(time_to_quality.py) takes part, with random weights, by its own DPM-Solver++ in 25 steps.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import common  # one thread, before numpy and onnxruntime
import numpy as np

from ddpm_core.spec import in_turn
from pipelines.sampling.bundle_sampler import Sampler

PEER, STEPS = "diffusers, tuned, 32 channels", 25


def peers(n: int) -> dict[str, Callable[[], object]]:
    """diffusers' side in each of its precisions."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, UNet2DModel
    from quality_recipes import PEERS

    torch.set_num_threads(1)
    recipe = PEERS[PEER][1]
    net, process = UNet2DModel(**recipe.network).eval(), DPMSolverMultistepScheduler(**recipe.process)
    shape = (n, 1, recipe.network["sample_size"], recipe.network["sample_size"])

    def sample(dtype: torch.dtype) -> object:
        process.set_timesteps(STEPS)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            for t in process.timesteps:
                x = process.step(net(x, t).sample.float(), t, x).prev_sample
        return x

    return {f"{PEER}, {name}": partial(sample, getattr(torch, name)) for name in ("float32", "bfloat16")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--n", type=int, default=64, help="samples at once")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--diffusers", action="store_true", help="beside diffusers' network")
    args = parser.parse_args()
    samplers = {}
    for text in args.bundles:
        name, _, folder = text.partition("=")
        samplers[name] = Sampler.open(Path(folder), "cpu")
    cond = {name: in_turn(each.bundle.spec, args.n) for name, each in samplers.items()}
    recipes = {name: each.recipe() for name, each in samplers.items()}
    print(common.machine("onnxruntime-gpu", "numpy", *(["torch", "diffusers"] if args.diffusers else [])))
    sides: dict[str, Callable[[], object]] = {
        name: partial(each.sample, recipes[name], range(args.n), cond[name], batch_size=args.n)
        for name, each in samplers.items()
    }
    if args.diffusers:
        sides |= peers(args.n)
    found = common.interleaved(sides, args.repeats)
    first = np.array(found[next(iter(found))].cpu)
    rows = []
    for name, times in found.items():
        ms = 1000 * np.array(times.cpu) / args.n
        ratios = first / np.array(times.cpu)
        rows.append(
            [
                name,
                str(recipes[name].cost(1) if name in recipes else STEPS),
                f"{np.median(ms):.2f} ({ms.min():.2f} to {ms.max():.2f})",
                f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
            ]
        )
    print(common.table(["side", "evaluations", "CPU ms a sample", "times less"], rows))


if __name__ == "__main__":
    main()
