"""Pictures a second of the data path alone, from shards or from memory to batches of floats, by changes and workers.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --side 32 --channels 3 --no-training --changes none flip_crop all
    python benchmarks/input_pipeline.py --memory --processes 1 4

Shards of noise are written to a temporary folder and read as stage train reads them: digest, tar, blocks, shuffle,
batches, changes, floats. `small windows` holds fewer pictures than the split, so that every epoch reads every shard
again; with one large window an epoch after the first costs only the gathering. What a training consumes stands in the
last row: the network of params.yaml, one step without its data; `--memory` and `--no-training` have none.

`--memory` begins with pictures made in memory and needs numpy, torch and torchvision alone. With `--processes n` the
batch is that of n processes and the rows are those of one of them: pictures a second are its own. `flip_crop` is a
horizontal flip with probability 0.5 and a padded crop always; `all` is every change always, colours with hue.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import common
import numpy as np
import torch

from ddpm_core.objectives.batch import Batch, Share
from ddpm_core.spec import DataSpec, labelled
from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Padded, Resized, Rotation

ROOT = Path(__file__).parents[1]
Reader = Callable[[], None]


def changes(spec: DataSpec) -> dict[str, AugmentConfig]:
    colours = spec.channels == 3
    none = AugmentConfig(
        horizontal_flip=0.0,
        vertical_flip=0.0,
        crop=Padded("padded", 0.0, 4, "reflect"),
        rotation=Rotation(0.0, 10.0, "reflect"),
        colour=Colour(0.0, 0.2, 0.2, 0.2 * colours, 0.1 * colours),
    )
    crop, resized = replace(none.crop, probability=1.0), Resized("resized", 1.0, 0.7, 1.3)
    rotation, colour = replace(none.rotation, probability=1.0), replace(none.colour, probability=1.0)
    return {
        "none": none,
        "flip_crop": replace(none, horizontal_flip=0.5, crop=crop),
        "resized": replace(none, crop=resized),
        "rotation": replace(none, rotation=rotation),
        "colour": replace(none, colour=colour),
        "all": AugmentConfig(0.5, 0.5, resized, rotation, colour),
    }


def pulled(batches: Callable[[], Iterator[Batch]], number: int) -> Reader:
    """Takes so many batches from the first on, as a training that begins would."""

    def read() -> None:
        for _batch in islice(batches(), number):
            pass

    return read


def from_memory(spec: DataSpec, args: argparse.Namespace) -> dict[str, Reader]:
    """Batches gathered from an array in a random order, then changed and encoded as a training has them."""
    from pipelines.kinds.pictures.training.augment import augmenter
    from pipelines.training.batches import encoded

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (args.pictures, *spec.shape), dtype=np.uint8)
    labels, known = np.arange(len(images)) % len(spec.classes), changes(spec)

    def gathered(size: int) -> Iterator[dict[str, np.ndarray]]:
        for step in count():
            take = np.random.default_rng(step).integers(0, len(images), size)
            yield {"x": images[take], "label": labels[take]}

    def reader(name: str, processes: int) -> Reader:
        size = args.batch_size * processes
        augment, own = augmenter(known[name], 0, spec), Share(processes - 1, processes).rows(size)
        return pulled(lambda: encoded(gathered(size), 0, augment, own, spec), args.pictures // args.batch_size)

    return {
        f"{name}, 1 of {processes}": reader(name, processes) for name in args.changes for processes in args.processes
    }


def from_shards(spec: DataSpec, args: argparse.Namespace, scratch: Path) -> dict[str, Reader]:
    """The reading of shards of noise, by pictures a block and a window, by changes and by workers."""
    from pipelines.kinds.pictures.rows.examples import example
    from pipelines.params import load_params
    from pipelines.shards.archive import Example, ShardConfig, write_shards
    from pipelines.training.batches import batch_source

    def samples() -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for number in range(args.pictures):
            yield example(
                f"{number:016x}", rng.integers(0, 256, spec.shape, dtype=np.uint8), number % len(spec.classes), spec
            )

    train, sides = load_params(ROOT / "params.yaml").train, {}
    # (pictures a block, pictures of a window)
    for text, block, window in (
        ("blocks of 125, one window", 125, args.pictures),
        ("blocks of 125, small windows", 125, 2000),
        ("a member a picture, small windows", 1, 2000),
    ):
        folder = scratch / text.replace(" ", "-")
        index = write_shards(folder, spec, {"train": samples()}, ShardConfig(1000, block, window))
        for name in args.changes if window > 2000 or args.changes == ["none"] else ("none",):
            for processes in args.processes:
                config = replace(train, batch_size=args.batch_size * processes, augment=changes(spec)[name])
                share = Share(processes - 1, processes)
                for workers in args.workers if block > 1 else (0,):
                    source = batch_source(config, folder, index.spec, workers, share)
                    sides[f"{text}, {name}, {workers} workers, 1 of {processes}"] = pulled(
                        lambda source=source: source(0), args.pictures // args.batch_size
                    )
    return sides


def trainer(spec: DataSpec, batch_size: int) -> Reader:
    """One update of the default network on one batch, without its data."""
    from ddpm_core.device import pick_device, pick_precision
    from ddpm_core.objectives.batch import LabelDropout
    from ddpm_core.objectives.diffusion import build_objective
    from pipelines.params import load_params

    params = load_params(ROOT / "params.yaml")
    dtype = pick_precision(params.train.precision, pick_device("cpu"))
    model = replace(params.model, refine=0).build(spec, params.diffusion.learned_variance).train()
    objective = build_objective(params.diffusion, spec, LabelDropout({"label": len(spec.classes)}, 0.1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batch = Batch(torch.rand(batch_size, *spec.shape) * 2 - 1, {"label": torch.zeros(batch_size, dtype=torch.int64)})
    print(f"training in {dtype}, batch {batch_size}")

    def update() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = objective.loss(model, objective.draw(batch, 0, 0)).total
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return update


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["none", "flip_crop", "resized", "rotation", "colour", "all"]
    parser.add_argument("--side", type=int)
    parser.add_argument("--channels", type=int)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, help="rows of a process")
    parser.add_argument("--changes", nargs="+", choices=known)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="pictures in memory, without shards and training")
    parser.add_argument("--no-training", action="store_true", help="leave out what a training consumes")
    args = parser.parse_args()
    in_memory = {"side": 32, "channels": 3, "batch_size": 512, "changes": known}
    from_disk = {"side": 28, "channels": 1, "batch_size": 64, "changes": ["none"]}
    for name, value in (in_memory if args.memory else from_disk).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(int(common.os.environ["OMP_NUM_THREADS"]))
    print(common.machine("numpy", "torch", "torchvision", "webdataset"))
    spec = labelled((args.channels, args.side, args.side), (-1.0, 1.0), 256, tuple("0123456789"))
    with tempfile.TemporaryDirectory() as scratch:
        sides = from_memory(spec, args) if args.memory else from_shards(spec, args, Path(scratch))
        times = common.interleaved(sides, args.repeats)
    done = args.pictures // args.batch_size * args.batch_size
    rows = [[name, f"{done / t.median_cpu:,.0f}", f"{done / t.median_wall:,.0f}"] for name, t in times.items()]
    if not (args.memory or args.no_training):
        update = common.interleaved({"training": trainer(spec, args.batch_size)}, 5)["training"]
        consumed = args.batch_size / update.median_cpu, args.batch_size / update.median_wall
        rows.append(["training, what it consumes", *(f"{number:,.0f}" for number in consumed)])
    print(common.table([f"{'x'.join(map(str, spec.shape))}", "pictures a CPU s", "pictures a wall s"], rows))


if __name__ == "__main__":
    main()
