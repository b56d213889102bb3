"""One evaluation of the same network: ours as it is sampled, in each precision, and diffusers' in each of its own.

    .venv-peers/bin/python benchmarks/variants.py small
    .venv-peers/bin/python benchmarks/variants.py big --compile

Ours is the exported graph in onnxruntime, in float32 and with every layer that can be in int8 (`ddpm variants` keeps
some in float32: --quantised is the share of their work that is not kept), and in OpenVINO in bfloat16 where that is
installed (`pip install openvino` in an environment of its own). diffusers' is UNet2DModel of the same configuration in
float32 and in bfloat16, by autocast and with its weights in it, each in both layouts and, with --compile, compiled.
All of them take turns in one process on one thread. The weights are random, which times do not depend on.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import common
import numpy as np
import torch
from networks import NETWORKS, Shape, diffusers_network, our_network
from torch import nn

from ddpm_core.bundle.export import export_onnx
from ddpm_core.spec import labelled
from pipelines.sampling.onnx_denoiser import open_graph
from pipelines.variants.int8 import Quantiser
from pipelines.variants.probes import Feeds, Probe

BARS = {("big", 1): 1.6, ("big", 16): 1.6, ("small", 1): 2.5, ("small", 16): 1.6}
"""Times the speed of diffusers at its best."""
TIMES = (950.0, 700.0, 400.0, 50.0)
Side = Callable[[Feeds], Any]


def woken(net: nn.Module) -> nn.Module:
    """The network with weights where it begins with zeros, so that its feature maps are those of a network at work."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in net.parameters():
            if not weight.any():
                weight.normal_(0, weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1, generator=generator)
    return net.eval()


def feeds_of(shape: Shape, batch: int, t: float) -> Feeds:
    x = np.random.default_rng(int(t)).standard_normal((batch, *shape), np.float32)
    return {"x": x, "t": np.full(batch, t, np.float32)}


def our_sides(name: str, quantised: float) -> Iterator[tuple[str, Side]]:
    config, shape = NETWORKS[name]
    torch.manual_seed(0)
    spec = labelled(shape=shape, range=(-1.0, 1.0), levels=256, classes=())
    model = export_onnx(woken(our_network(config, shape)), spec, opset=20)
    quantiser = Quantiser(model, [Probe(int(t), 1.0, feeds_of(shape, 4, t)) for t in TIMES])
    yield "ours, fp32", in_onnxruntime(model)
    chosen, share = most_work(quantiser.work, quantised)
    yield f"ours, int8 ({share:.0%} of the work)", in_onnxruntime(quantiser.int8(chosen))
    try:
        import openvino
    except ModuleNotFoundError:
        return
    compiled = openvino.Core().compile_model(
        openvino.Core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1}
    )
    yield "ours, bf16 in OpenVINO", compiled.create_infer_request().infer


def most_work(work: dict[str, int], wanted: float) -> tuple[list[str], float]:
    """The layers with the most work, as few as make the share that is wanted, and the share that they make."""
    chosen, done, whole = list[str](), 0, sum(work.values())
    for layer in sorted(work, key=lambda layer: -work[layer]):
        if done < wanted * whole:
            chosen.append(layer)
            done += work[layer]
    return chosen, done / whole


def in_onnxruntime(model: bytes) -> Side:
    session = open_graph(model, "the graph", 1)
    return lambda feeds: session.run(None, feeds)


def their_sides(name: str, compiled: bool) -> Iterator[tuple[str, Side]]:
    for precision in ("fp32", "bf16 autocast", "bf16 weights"):
        for layout in (torch.contiguous_format, torch.channels_last):
            for whole in (False, True) if compiled else (False,):
                words = [precision, *(["channels_last"] if layout == torch.channels_last else [])]
                yield (
                    f"diffusers, {', '.join([*words, *(['compiled'] if whole else [])])}",
                    _theirs(name, precision, layout, whole),
                )


def _theirs(name: str, precision: str, layout: torch.memory_format, whole: bool) -> Side:
    torch.manual_seed(0)
    weights = torch.bfloat16 if precision == "bf16 weights" else torch.float32
    model = diffusers_network(*NETWORKS[name]).eval().to(weights).to(memory_format=layout)
    net: Any = torch.compile(model, dynamic=False) if whole else model

    def run(feeds: Feeds) -> Any:
        x = torch.from_numpy(feeds["x"]).to(weights).contiguous(memory_format=layout)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16 autocast"):
            return net(x, torch.from_numpy(feeds["t"])).sample.float().numpy()

    return run


def report(network: str, batch: int, times: dict[str, common.Times]) -> str:
    """Every side, and ours at its best beside diffusers at its best."""
    best = {
        side: min((name for name in times if name.startswith(side)), key=lambda name: times[name].median_cpu)
        for side in ("ours", "diffusers")
    }
    peer = times[best["diffusers"]].median_cpu
    rows = [
        [name, f"{1000 * t.median_cpu / batch:.2f}", f"{t.spread:.0%}", f"{peer / t.median_cpu:.2f}"]
        for name, t in times.items()
    ]
    ratio, bar = peer / times[best["ours"]].median_cpu, BARS.get((network, batch))
    wanted = "" if bar is None else f" (wanted {bar}: {'reached' if ratio >= bar else 'missed'})"
    head = [f"{network}, batch of {batch}", "CPU ms a picture", "spread", "x diffusers at its best"]
    return f"{common.table(head, rows)}\n{best['ours']} is {ratio:.2f} x {best['diffusers']}{wanted}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quantised", type=float, default=1.0, help="share of the work that is in int8 (default: 1)")
    parser.add_argument("--compile", action="store_true", help="diffusers' network compiled, too")
    args = parser.parse_args()
    common.needs("diffusers")
    from diffusers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    print(common.machine("torch", "diffusers", "onnxruntime-gpu", "openvino"), flush=True)
    sides = dict([*our_sides(args.network, args.quantised), *their_sides(args.network, args.compile)])
    for batch in args.batches:
        feeds = feeds_of(NETWORKS[args.network][1], batch, 500.0)
        calls: dict[str, Callable[[], object]] = {name: partial(side, feeds) for name, side in sides.items()}
        print(report(args.network, batch, common.interleaved(calls, args.repeats, warmups=2)), flush=True)


if __name__ == "__main__":
    main()
