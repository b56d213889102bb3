"""Bytes that a compiled step of the large network reads and writes, counted without a GPU by torch's compiler.

    python benchmarks/gpu_bytes.py [--reads 16]      ours, and diffusers' where it is installed

Inductor plans the kernels of forward and backward as for a GPU (in bfloat16, channels_last); before it writes any code
the bytes of each kernel's inputs and outputs are added up. A value with more than `--reads` reads is kept in memory,
one with fewer is computed again where it is used; 4 is inductor's own choice. Bytes say nothing of how well a kernel
uses the memory: only a GPU can say what fewer of them save (check 14 of gpu_acceptance.py).
"""

import argparse
import copy
import importlib.util
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.append(str(Path(__file__).parents[1]))

import torch
import torch._inductor.config as inductor
from functorch.compile import make_boxed_func
from networks import CIFAR10_DDPM, diffusers_network, our_network
from torch import Tensor, nn
from torch._inductor import ir
from torch._inductor.compile_fx import compile_fx, compile_fx_inner
from torch._inductor.scheduler import Scheduler

from ddpm_core.models import layers

SHAPE, IMAGES = (3, 32, 32), 32
KINDS = {"ComputedBuffer": "compiled", "ExternKernelAlloc": "convolution", "FallbackKernel": "convolution"}


class Counted(Exception):
    """The kernels of a graph are planned and counted; nothing else is needed of the compiler."""


class Count:
    """A backend of torch.compile that counts, and runs the graph as it is."""

    def __init__(self) -> None:
        self.by_kind: Counter[str] = Counter()

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        return compile_fx(graph, inputs, inner_compile=self._inner)

    def _inner(self, graph: torch.fx.GraphModule, inputs: list[Any], **options: Any) -> Any:
        before = self.by_kind.total()
        try:
            compile_fx_inner(copy.deepcopy(graph), inputs, **options)
        except Exception:
            if self.by_kind.total() == before:
                raise
        return make_boxed_func(graph.forward)

    def plan(self, scheduler: Scheduler) -> None:
        for node in scheduler.nodes:
            kind = KINDS.get(type(node.get_nodes()[0].node).__name__, "rest")
            self.by_kind[kind] += node.get_read_write_buffers_sizes()
        raise Counted


def _kept_on_a_gpu(box: Any, users: int, *, graph_reuse: bool = True) -> bool:
    """Inductor's rule for a GPU of what is kept; on a CPU it also keeps every exponential."""
    if users <= 1 or not isinstance(box.data, ir.Pointwise | ir.Reduction):
        return False
    return box.has_large_inner_fn() or (graph_reuse and box.num_reads() > inductor.realize_reads_threshold)


def _by_channels(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """What `layers.GroupNorm` is for a compiler on a GPU."""
    if x.dtype == norm.weight.dtype:
        return nn.GroupNorm.forward(norm, x)
    with torch.autocast("cpu", enabled=False):
        return layers.normed_by_channels(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


def counted(side: str, reads: int) -> Counter[str]:
    """Bytes of forward and backward of a batch, by kind of kernel."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    count = Count()
    net = our_network(CIFAR10_DDPM, SHAPE) if side == "ours" else diffusers_network(CIFAR10_DDPM, SHAPE)
    net = net.to(memory_format=torch.channels_last).train()
    x = torch.randn(IMAGES, *SHAPE).contiguous(memory_format=torch.channels_last)
    with (
        inductor.patch(realize_reads_threshold=reads, force_disable_caches=True),
        patch.object(Scheduler, "codegen", lambda scheduler: count.plan(scheduler)),
        patch.object(ir.StorageBox, "should_realize_on_reuse", _kept_on_a_gpu),
        patch.object(layers.GroupNorm, "forward", _by_channels),
        patch.object(layers, "goes_in_products", lambda _x, _count: False),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            answer = torch.compile(net, dynamic=False, backend=count)(x, torch.full((IMAGES,), 500.0))
        (answer if isinstance(answer, Tensor) else answer.sample).float().square().mean().backward()
    return count.by_kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, nargs="+", default=[4, 16])
    reads = parser.parse_args().reads
    warnings.simplefilter("ignore")  # of diffusers and of a machine without a GPU
    sides = ["ours", *(["diffusers"] if importlib.util.find_spec("diffusers") else [])]
    print(f"MB a picture, forward and backward, in batches of {IMAGES}")
    for side in sides:
        for number in reads:
            found = {kind: value / IMAGES / 1e6 for kind, value in counted(side, number).most_common()}
            parts = ", ".join(f"{kind} {value:.0f}" for kind, value in found.items() if value >= 0.5)
            print(f"{side:<10} up to {number:>2} reads again: {sum(found.values()):6.1f}  ({parts})", flush=True)


if __name__ == "__main__":
    main()
