"""Check 11: throughput of whole training steps through Trainer, beside diffusers' UNet2DModel of the same shape.

A step of ours is all that a training does: draw, forward, backward, clip, fused AdamW, average. A step of theirs does
the same by torch's fastest means: bf16 autocast, channels_last, torch.compile, cuDNN's choice of the fastest kernel,
kernels in any order, fused AdamW, the average by foreach. The sides take turns in one process, and medians are given.
"""

import importlib.util
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from gpu_acceptance import Record
from gpu_common import (
    Context,
    batch_of,
    network,
    objective_of,
    prepare,
    scratch,
    stirred,
)
from gpu_speed_sides import Ours, Theirs
from torch.utils.flop_counter import FlopCounterMode

from ddpm_core.training.compiled import compiler

CEILING = 790e12
"""Floating-point operations a second of bf16 products on an H100 or H200."""
EAGER, COMPILED, OVER_BARE, WAITING = 2500.0, 5000.0, 1.05, 0.02
COMPILE_SECONDS = 110.0
"""About what compiling the large network takes from nothing; what would not fit into the budget is left out."""
ROUNDS = 3


# ------------------------------------------------------------------------------------------------------- the check


def eager(context: Context, record: Record) -> None:
    """The large and the default network, as a step is recorded and as it is launched kernel by kernel."""
    context.empty()
    flops = our_flops(context)
    recorded, size = largest(context)
    record.note("batch", size)
    times = turns({"recorded": recorded, "bare": recorded.bare()}, ROUNDS)
    _tell(record, context, "eager", size, times["recorded"], flops, recorded)
    record.note("eager over bare", times["recorded"] / times["bare"])
    if context.cuda and not context.tiny:
        record.at_least("eager img/s", size / times["recorded"], EAGER)
    record.flush()
    recorded.close()
    del recorded
    context.empty()
    any_order = Ours(context, context.cifar, size, None, "adamw", deterministic=False)
    launched = Ours(context, context.cifar, size, None, "adamw", deterministic=True, records=False)
    times = turns({"launched": launched, "any order": any_order}, 2)
    record.note("eager in any order img/s", size / times["any order"])
    record.note("eager, launched kernel by kernel, img/s", size / times["launched"])
    any_order.close()
    launched.close()
    del any_order, launched
    context.empty()
    record.flush()
    _small(context, record, "launched", None, records=False)
    _small(context, record, "recorded", None)


def compiled(context: Context, record: Record) -> None:
    """Our large network compiled, diffusers' compiled, and the default network compiled."""
    if not context.compiling(record):
        return
    context.empty()
    with scratch() as place:
        code, flops = compiler(place), our_flops(context)
        record.note("GFLOP an image, ours", flops * 1e-9)
        _compiled(context, record, code, context.size(512, 4), flops, context.cuda and not context.tiny)
        record.flush()
        if not context.tiny and _fits(context, record, "default compiled", COMPILE_SECONDS / 2):
            _small(context, record, "compiled", code)


def _compiled(context: Context, record: Record, code: Any, size: int, flops: float, full: bool) -> None:
    began = time.perf_counter()
    ours = Ours(context, context.cifar, size, code, "adamw", deterministic=True)
    ours()
    record.note("batch", size)
    record.note("compiling seconds, ours", time.perf_counter() - began)
    sides: dict[str, Callable[[], float]] = {"compiled": ours, "bare": ours.bare()}
    times = turns(sides, ROUNDS)
    _tell(record, context, "compiled", size, times["compiled"], flops, ours)
    over, waiting = times["compiled"] / times["bare"], median(ours.waits)
    if full:
        record.at_least("compiled img/s", size / times["compiled"], COMPILED)
        record.at_most("compiled over bare", over, OVER_BARE)
        record.at_most("compiled waiting for data", waiting, WAITING)
    else:
        record.note("compiled over bare", over)
        record.note("compiled waiting for data", waiting)
    record.flush()
    _beside_diffusers(context, record, ours, size)
    ours.close()
    del sides, ours
    context.empty()


def _beside_diffusers(context: Context, record: Record, ours: Ours, size: int) -> None:
    if importlib.util.find_spec("diffusers") is None:
        record.note("diffusers", "left out: no diffusers")
        return
    if not _fits(context, record, "diffusers"):
        return
    try:
        began = time.perf_counter()
        theirs = Theirs(context, context.cifar, size, compiled=True)
        record.note("GFLOP an image, diffusers", theirs.flops() * 1e-9)
        theirs()
        record.note("compiling seconds, diffusers", time.perf_counter() - began)
        times = turns({"ours": ours, "theirs": theirs}, ROUNDS)
    except Exception as error:  # noqa: BLE001 (a peer that fails is told, and fails nothing of ours)
        record.note("diffusers", f"left out: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return
    record.note("diffusers img/s", size / times["theirs"])
    record.note("ours beside diffusers img/s", size / times["ours"])
    record.note("ours over diffusers", times["theirs"] / times["ours"])


def _small(context: Context, record: Record, name: str, code: Any, *, records: bool = True) -> None:
    """The network of params.yaml by its optimiser, in batches of 128."""
    size = context.size(128, 4)
    ours = Ours(context, context.default, size, code, "muon", deterministic=True, records=records)
    began = time.perf_counter()
    ours()
    if code is not None:
        record.note(f"compiling seconds, default {name}", time.perf_counter() - began)
    seconds = turns({"": ours}, ROUNDS)[""]
    record.note(f"default {name} ms a step", 1e3 * seconds)
    record.note(f"default {name} img/s", size / seconds)
    record.note(f"default {name} waiting for data", median(ours.waits))
    ours.close()


def largest(context: Context) -> tuple[Ours, int]:
    """A training that is warm, with the largest batch of 512, 256, 128, 64 that is not cut."""
    for size in context.size((512, 256, 128, 64), (4,)):
        ours = Ours(context, context.cifar, size, None, "adamw", deterministic=True)
        ours()
        if ours.trainer.parts == 1:
            return ours, size
        ours.close()
        del ours
        context.empty()
    raise AssertionError("a batch of 64 must fit into the GPU's memory, and does not")


def turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median seconds a step of each side, which run in turn after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 == 0 else reversed(sides):
            seconds = sides[name]()
            if number:
                taken[name].append(seconds)
    return {name: median(values) for name, values in taken.items()}


def our_flops(context: Context) -> float:
    """Of forward and backward of the large network, an image, counted by torch."""
    config, spec = context.cifar
    few = context.size(8, 2)
    model = stirred(network(config, spec, context.device)).to(context.device).train()
    objective = objective_of(spec)
    dtype = prepare("bf16")
    draw = objective.draw(batch_of(spec, few, 0).to(context.device), 0, 0)
    with FlopCounterMode(display=False) as counter:
        with torch.autocast(context.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = objective.loss(model, draw)
        loss.total.backward()
    return counter.get_total_flops() / few


def _tell(record: Record, context: Context, name: str, size: int, seconds: float, flops: float, ours: Ours) -> None:
    record.note(f"{name} img/s", size / seconds)
    record.note(f"{name} ms a step", 1e3 * seconds)
    record.note(f"{name} TFLOP/s", flops * size / seconds * 1e-12)
    record.note(f"{name} share of {CEILING * 1e-12:.0f} TFLOP/s", flops * size / seconds / CEILING)
    record.note(f"{name} waiting for data", median(ours.waits))
    if context.cuda:
        record.note(f"{name} peak GB", torch.cuda.max_memory_allocated(context.device) * 1e-9)


def _fits(context: Context, record: Record, what: str, seconds: float = COMPILE_SECONDS) -> bool:
    needed = context.size(seconds, 0.0)
    if context.left() < needed:
        record.note(what, f"left out: no time, {context.left():.0f} s are left and it takes about {needed:.0f} s")
        return False
    return True
