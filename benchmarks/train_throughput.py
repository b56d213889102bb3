"""Images a CPU second of a training step: our U-Net against diffusers' of the same configuration, each at its best.

    .venv-peers/bin/python benchmarks/train_throughput.py small
    .venv-peers/bin/python benchmarks/train_throughput.py big --batch-size 8 --repeats 3

A step is forward, mean squared error, backward and fused AdamW on fixed inputs (x_t, t, eps): no data, no averaging.
First every setting of a side is tried alone (bf16, channels_last or not, with --fp32 plain fp32 and with --compile
compiled); then the best of each side take turns in one process. The network of denoising-diffusion-pytorch has another
architecture, so it is compared by FLOPs: GFLOP a CPU second, the FLOPs counted by torch.
The ceiling is the fastest bf16 3x3 convolution, forward, that was found in the same run.
Memory that was freed is kept by the process, as our training does; it is one process, so the peers gain by it too. With
--plain-memory nobody has it: so the peers run by themselves.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import common
import torch
from networks import NETWORKS, Shape, diffusers_network, our_network
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from ddpm_core.device import keep_memory

BARS = {"small": 1.7, "big": 1.3}
CEILING_WANTED = 0.30
DENOISING_DIFFUSION = {"small": {"dim": 32, "dim_mults": (1, 2, 4)}, "big": {"dim": 128, "dim_mults": (1, 2, 2, 2)}}
CALLS_TIMED = 8
CONVOLUTIONS = ((128, 32), (256, 16), (64, 28), (64, 14))  # channels, side


@dataclass(frozen=True)
class Setting:
    """How a network is run."""

    bf16: bool
    channels_last: bool
    compiled: bool

    def __str__(self) -> str:
        words = ["bf16" if self.bf16 else "fp32", "channels_last" if self.channels_last else "contiguous"]
        return ", ".join([*words, *(["compiled"] if self.compiled else [])])


Call = Callable[[nn.Module, Tensor, Tensor], Tensor]
CALLS: dict[str, Call] = {
    "ours": lambda net, x, t: net(x, t),
    "diffusers": lambda net, x, t: net(x, t).sample,
    "denoising-diffusion": lambda net, x, t: net(x, t),
}


def build(side: str, name: str) -> nn.Module:
    config, shape = NETWORKS[name]
    torch.manual_seed(0)
    if side == "ours":
        return our_network(config, shape)
    if side == "diffusers":
        return diffusers_network(config, shape)
    from denoising_diffusion_pytorch import Unet

    return Unet(channels=shape[0], **DENOISING_DIFFUSION[name])


class Step:
    """One training step of one side."""

    def __init__(self, side: str, name: str, setting: Setting, batch_size: int) -> None:
        shape: Shape = NETWORKS[name][1]
        self.setting, self.call, self.size = setting, CALLS[side], batch_size
        model = build(side, name).train()
        if setting.channels_last:
            model = model.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=2e-4, fused=True)
        self.model: Any = torch.compile(model) if setting.compiled else model
        generator = torch.Generator().manual_seed(0)
        self.x, self.eps = (torch.randn(batch_size, *shape, generator=generator) for _ in range(2))
        if setting.channels_last:
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.t = torch.randint(1, 1000, (batch_size,), generator=generator).float()

    def loss(self) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.setting.bf16):
            out = self.call(self.model, self.x, self.t)
        return F.mse_loss(out.float(), self.eps)

    def __call__(self) -> None:
        self.loss().backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def gflop(self) -> float:
        """Of forward and backward, an image; counted on a step that is not timed."""
        with FlopCounterMode(display=False) as counter:
            self.loss().backward()
        self.optimiser.zero_grad(set_to_none=True)
        return counter.get_total_flops() / self.size * 1e-9


def best_setting(side: str, name: str, settings: list[Setting], size: int, repeats: int) -> tuple[Setting, list[str]]:
    """Each setting alone, so that no more than one network is in memory; the fastest, and a row for each."""
    taken: dict[Setting, float] = {}
    for setting in settings:
        step = Step(side, name, setting, size)
        taken[setting] = common.interleaved({"": step}, repeats)[""].median_cpu
        del step
    rows = [f"{side}, {setting}: {size / seconds:.2f} images a CPU s" for setting, seconds in taken.items()]
    return min(taken, key=lambda setting: taken[setting]), rows


def ceiling(repeats: int) -> float:
    """GFLOP a CPU second of the fastest bf16 3x3 convolution."""
    best = 0.0
    for channels, side in CONVOLUTIONS:
        x = torch.randn(16, channels, side, side, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
        conv = nn.Conv2d(channels, channels, 3, padding=1).bfloat16().to(memory_format=torch.channels_last)
        with torch.no_grad():

            def run(conv: nn.Module = conv, x: Tensor = x) -> None:
                for _ in range(CALLS_TIMED):
                    conv(x)

            seconds = common.interleaved({"": run}, repeats)[""].median_cpu / CALLS_TIMED
        best = max(best, 2 * 9 * channels**2 * side**2 * 16 / seconds * 1e-9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--search-repeats", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="try compiled networks too")
    parser.add_argument("--fp32", action="store_true", help="try plain fp32 too")
    parser.add_argument("--plain-memory", action="store_true", help="hand freed memory back to the system, all sides")
    args = parser.parse_args()
    if not args.plain_memory:
        keep_memory()
    for peer in ("diffusers", "denoising-diffusion-pytorch"):
        common.needs(peer)
    torch.set_num_threads(int(common.os.environ["OMP_NUM_THREADS"]))
    print(common.machine("torch", "diffusers", "denoising-diffusion-pytorch"))
    compiled = (False, True) if args.compile else (False,)
    settings = [Setting(True, last, whole) for last in (False, True) for whole in compiled]
    settings += [Setting(False, False, False)] if args.fp32 else []
    chosen: dict[str, Setting] = {}
    for side in CALLS:
        chosen[side], rows = best_setting(side, args.network, settings, args.batch_size, args.search_repeats)
        print("\n".join(rows), flush=True)
    steps = {
        f"{side}, {setting}": Step(side, args.network, setting, args.batch_size) for side, setting in chosen.items()
    }
    gflop = {name: step.gflop() for name, step in steps.items()}
    times = common.interleaved(dict(steps), args.repeats)
    report(args.network, args.batch_size, times, gflop, ceiling(args.repeats))


def report(network: str, size: int, times: dict[str, common.Times], gflop: dict[str, float], top: float) -> None:
    ours, diffusers, other = list(times)[:3]
    rows = [
        [
            name,
            f"{size / t.median_cpu:.2f}",
            f"{size / t.median_wall:.2f}",
            f"{t.spread:.0%}",
            f"{gflop[name]:.3f}",
            f"{gflop[name] * size / t.median_cpu:.0f}",
            f"{gflop[name] * size / t.median_cpu / top:.0%}",
            f"{t.median_cpu / times[ours].median_cpu:.2f}",
        ]
        for name, t in times.items()
    ]
    head = [
        "side",
        "images a CPU s",
        "a wall s",
        "spread",
        "GFLOP an image",
        "GFLOP a CPU s",
        "of the ceiling",
        "time / ours",
    ]
    print(common.table(head, rows))
    ratio = times[diffusers].median_cpu / times[ours].median_cpu
    equal_flops = ratio_of_flops(times[ours], gflop[ours], times[other], gflop[other])
    reached = gflop[ours] * size / times[ours].median_cpu / top
    print(f"bf16 convolution ceiling {top:.0f} GFLOP a CPU s")
    print(f"{network}: {ratio:.2f} x diffusers at its best (wanted {BARS[network]})")
    print(f"{network}: {equal_flops:.2f} x denoising-diffusion-pytorch at equal FLOPs (wanted {BARS['big']})")
    print(f"{network}: {reached:.0%} of the ceiling (wanted {CEILING_WANTED:.0%})")


def ratio_of_flops(a: common.Times, gflop_a: float, b: common.Times, gflop_b: float) -> float:
    """How many times the FLOPs of b a does in the same CPU time."""
    return (gflop_a / a.median_cpu) / (gflop_b / b.median_cpu)


if __name__ == "__main__":
    main()
