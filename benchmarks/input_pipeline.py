"""Pictures a second from shards alone, against what training consumes: the default network, or --side and --channels.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --side 32 --channels 3

Shards of noise are written to a temporary folder and read as stage train reads them: digest, tar, blocks, shuffle,
batches, floats. `small windows` holds fewer pictures than the split, so that every epoch reads every shard again; with
one large window an epoch after the first costs only the gathering. Training is the network and batch of params.yaml.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
import torch

from ddpm_core.device import pick_device, pick_precision, precision_name
from ddpm_core.models import build_model
from ddpm_core.objective import Batch, LabelDropout, build_objective
from ddpm_core.spec import DataSpec
from pipelines.params import load_params
from pipelines.tools.shard_stream import stream
from pipelines.tools.shards import Sample, ShardConfig, write_shards

ROOT = Path(__file__).parents[1]
WANTED = 5.0


def samples(spec: DataSpec, count: int) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.integers(0, 256, spec.shape, dtype=np.uint8)
        yield Sample(f"{number:016x}", image, number % len(spec.classes))


def reader(folder: Path, spec: DataSpec, batch_size: int, pictures: int, workers: int) -> Callable[[], None]:
    """Reads so many pictures from the start of an epoch, as floats, as a training that begins would."""

    def read() -> None:
        batches = stream(folder, "train", batch_size, seed=0, workers=workers)
        for _ in range(pictures // batch_size):
            images, _labels = next(batches)
            torch.from_numpy(spec.encode(images))

    return read


def trainer(spec: DataSpec, batch_size: int) -> Callable[[], None]:
    """One update of the default network on one batch, without its data."""
    params = load_params(ROOT / "params.yaml")
    device = pick_device("cpu")
    dtype = pick_precision(params.train.precision, device)
    model = build_model(replace(params.model, refine=0), spec, True, params.diffusion.learned_variance).train()
    objective = build_objective(params.diffusion, spec, LabelDropout({"label": len(spec.classes)}, 0.1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batch = Batch(torch.rand(batch_size, *spec.shape) * 2 - 1, {"label": torch.zeros(batch_size, dtype=torch.int64)})
    print(f"training in {precision_name(dtype)}, batch {batch_size}")

    def update() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = objective.loss(model, objective.draw(batch, 0, 0)).total
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(int(common.os.environ["OMP_NUM_THREADS"]))
    print(common.machine("numpy", "torch", "webdataset"))
    spec = DataSpec((args.channels, args.side, args.side), (-1.0, 1.0), 256, tuple("0123456789"))
    with tempfile.TemporaryDirectory() as scratch:
        sides: dict[str, Callable[[], None]] = {}
        # (pictures a block, pictures of a window)
        for text, block, window in (
            ("blocks of 125, one window", 125, args.pictures),
            ("blocks of 125, small windows", 125, 2000),
            ("a member a picture, small windows", 1, 2000),
        ):
            folder = Path(scratch) / text.replace(" ", "-")
            write_shards(folder, spec, {"train": samples(spec, args.pictures)}, ShardConfig(1000, block, window))
            for workers in (0, 1, 2) if block > 1 else (0,):
                sides[f"{text}, {workers} workers"] = reader(folder, spec, args.batch_size, args.pictures, workers)
        times = common.interleaved(sides, args.repeats)
    update = common.interleaved({"training": trainer(spec, args.batch_size)}, 5)["training"]
    consumed = args.batch_size / update.median_cpu
    done = args.pictures // args.batch_size * args.batch_size
    rows = [
        [name, f"{done / t.median_cpu:,.0f}", f"{done / t.median_wall:,.0f}", f"{done / t.median_cpu / consumed:.0f}"]
        for name, t in times.items()
    ]
    rows.append(["training, what it consumes", f"{consumed:,.0f}", f"{args.batch_size / update.median_wall:,.0f}", "1"])
    print(common.table(["reading", "pictures a CPU s", "pictures a wall s", "times training"], rows))
    slowest = min(done / t.median_cpu for name, t in times.items() if "125" in name) / consumed
    print(f"slowest way that is the default or wider: {slowest:.0f} x what training consumes, wanted {WANTED:g}")


if __name__ == "__main__":
    main()
