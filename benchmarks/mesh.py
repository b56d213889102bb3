"""The mesh of a patch on textures: the default network without and with model.refine, as many steps each.

    python benchmarks/mesh.py brick.png grass.png gravel.png --out /tmp/mesh

Each photograph is a class: tiles of 64 x 64 pixels at random places, averaged to 32 x 32 and tinted, so that there is
colour. brick.png, grass.png and gravel.png lie in scikit-image (skimage/data). Every side trains by the parameters of
params.yaml on the same batches, and its averaged weights sample from the same noise; energy at the Nyquist frequency
(ddpm_core/metrics/spectrum.py) stands beside that of unseen tiles. The grids go to --out.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.metrics.spectrum import nyquist_energy
from ddpm_core.samplers.config import named
from ddpm_core.spec import DataSpec, labelled
from ddpm_core.tensors.sampling import sample
from ddpm_core.training.distributed import ALONE
from pipelines.kinds.pictures.rows.decode import grid
from pipelines.kinds.pictures.rows.examples import example
from pipelines.params import Params, load_params
from pipelines.paths import Paths
from pipelines.shards.archive import Example, ShardConfig, write_shards
from pipelines.training.setup import TrainingSetup

ROOT = Path(__file__).parents[1]
SIDE, SCALE = 32, 2
TINTS = ((1.0, 0.75, 0.6), (0.75, 1.0, 0.6), (0.7, 0.85, 1.0))

Images = NDArray[np.uint8]


def tiles(photograph: Path, tint: tuple[float, ...], count: int, seed: int) -> Images:
    """Tiles of a photograph, [count, 3, SIDE, SIDE]."""
    grey = Image.open(photograph).convert("L")
    rng, side = np.random.default_rng(seed), SIDE * SCALE
    places = [(rng.integers(grey.width - side + 1), rng.integers(grey.height - side + 1)) for _ in range(count)]
    cut = [grey.crop((x, y, x + side, y + side)).resize((SIDE, SIDE), Image.Resampling.BOX) for x, y in places]
    levels = np.stack([np.asarray(tile, np.float64) for tile in cut])[:, None]
    coloured: Images = np.rint(levels * np.array(tint)[:, None, None]).astype(np.uint8)
    return coloured


def samples(photographs: list[Path], count: int, seed: int, spec: DataSpec) -> Iterator[Example]:
    """As many tiles of each photograph, their classes in turn."""
    of_class = [tiles(file, TINTS[label % len(TINTS)], count, seed + label) for label, file in enumerate(photographs)]
    for number in range(count * len(photographs)):
        label = number % len(photographs)
        yield example(f"{number:016x}", of_class[label][number // len(photographs)], label, spec)


def trained(params: Params, paths: Paths, spec: DataSpec, count: int) -> tuple[Images, float, int]:
    """Samples of a training's averaged weights, its CPU seconds, and the parameters of the network."""
    setup = TrainingSetup.of(params, paths, ALONE)
    trainer = setup.trainer(None, lambda: False)
    seconds = time.process_time()
    for _ in trainer.run():
        pass
    seconds = time.process_time() - seconds
    parameterisation = params.diffusion.parameterisation()
    plan = named("dpmpp_2m", 10, None).plan(parameterisation.schedule, params.diffusion.variance)
    made = sample(
        trainer.ema.model,
        plan,
        parameterisation,
        spec,
        seeds=range(count),
        cond={"label": np.arange(count, dtype=np.int64) % len(spec.classes)},
        guidance=params.sample.guidance.weight,
        device=setup.device,
        dtype=setup.dtype,
    )
    return spec.decode(made), seconds, sum(weight.numel() for weight in trainer.model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--refine", type=int, nargs="+", default=[0, 16])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tiles", type=int, default=800, help="of each photograph for training, and a quarter unseen")
    parser.add_argument("--samples", type=int, default=60)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    spec = labelled((3, SIDE, SIDE), (-1.0, 1.0), 256, tuple(file.stem for file in args.photographs))
    params = load_params(ROOT / "params.yaml")
    params = replace(
        params,
        train=replace(
            params.train,
            steps=args.steps,
            batch_size=args.batch_size,
            warmup_steps=min(params.train.warmup_steps, args.steps // 3),
        ),
        runtime=replace(params.runtime, device="cpu", threads=1),
    )
    print(common.machine("torch", "numpy"), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(root=Path(folder), home=Path(folder) / ".ddpm")
        unseen = list(samples(args.photographs, args.tiles // 4, 1000, spec))
        splits = {"train": list(samples(args.photographs, args.tiles, 0, spec)), "test": unseen}
        write_shards(paths.shards, spec, splits, ShardConfig(1000, 125, 100_000))
        real = np.stack([one.arrays["x"] for one in unseen])
        (args.out / "real.png").write_bytes(grid(real[: args.samples], 12, 2))
        rows.append(["unseen tiles", "-", "-", "-", f"{nyquist_energy(real):.2f}"])
        for refine in args.refine:
            side = replace(params, model=replace(params.model, refine=refine))
            images, seconds, size = trained(side, paths, spec, args.samples)
            (args.out / f"refine-{refine}.png").write_bytes(grid(images, 12, 2))
            pace = args.steps * args.batch_size / seconds
            rows.append(
                [f"refine: {refine}", f"{size:,}", f"{seconds:.0f} s", f"{pace:.0f}", f"{nyquist_energy(images):.2f}"]
            )
            print(rows[-1], flush=True)
    print(common.table(["side", "parameters", "CPU time", "pictures a CPU second", "energy at Nyquist"], rows))


if __name__ == "__main__":
    main()
