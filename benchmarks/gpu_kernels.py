"""Check 14: where the GPU's time of a compiled step goes, by kernel, and what other ways of compiling change.

Sides, each in turn and alone: ours as a training compiles it; ours with more recomputed in place of memory; ours with
kernels in any order; diffusers'. Of each: milliseconds a step, and the time of its kernels by kind and by name.

What is recomputed: a value with up to this many reads is computed again where it is used. Inductor's own choice is 4.
By its own count of bytes 16 takes a fifth of the bytes off a step of the large network; whether it saves time is what
this check shows.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from gpu_acceptance import Record
from gpu_common import Context, scratch
from gpu_speed_sides import Ours, Theirs
from torch.profiler import DeviceType, ProfilerActivity, profile

from ddpm_core.training.compiled import compiler

READS = 16
SECONDS = 100.0  # to compile one side and time it
WINDOWS, STEPS = 3, 3
KINDS = (
    ("compiled reduction", r"triton_(red|per)|cpp_fused\w*sum"),
    ("compiled pointwise", r"triton_|cpp_fused"),
    ("convolution, weights", r"wgrad|conv\w*backward\w*weight"),
    ("convolution, data", r"dgrad|conv\w*backward"),
    ("convolution", r"fprop|conv|implicit_gemm|xmma_\w*nhwc"),
    ("attention", r"flash|fmha|attention"),
    ("change of layout", r"nchwtonhwc|nhwctonchw|transpose|permute"),
    ("matrix product", r"gemm|nvjet|cublas|mm\b|addmm|bmm|s16816"),
    ("optimiser", r"multi_tensor|foreach|fusedadam|_fused_adam|lerp"),
    ("copy", r"memcpy|memset|copy|\bfill|zero_"),
)


def kind_of(kernel: str) -> str:
    """What a kernel does, by its name."""
    name = kernel.lower()
    return next((kind for kind, pattern in KINDS if re.search(pattern, name)), "rest")


def kernels(context: Context, record: Record) -> None:
    """The table of each side; one that fails or no longer fits is noted, and the others go on."""
    if not context.compiling(record):
        return
    size = context.size(512, 4)
    record.note("batch", size)
    for name, made in sides(context, size):
        if context.left() < context.size(SECONDS, 0.0):
            record.note(name, f"left out: no time, {context.left():.0f} s are left")
            continue
        try:
            with made() as side:
                record.note(name, _judged(context, side))
        except Exception as error:  # noqa: BLE001 (the other sides are to be seen too)
            record.note(name, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        context.empty()
        record.flush()


Side = Callable[[], float]


def sides(context: Context, size: int) -> list[tuple[str, Callable[[], Any]]]:
    found = [
        ("ours", lambda: _ours(context, size)),
        (f"ours, up to {READS} reads again", lambda: _ours(context, size, reads=READS)),
        ("ours, any order", lambda: _ours(context, size, deterministic=False)),
    ]
    if importlib.util.find_spec("diffusers") is not None:
        found.append(("diffusers", lambda: _theirs(context, size)))
    return found


@contextmanager
def _ours(context: Context, size: int, *, deterministic: bool = True, reads: int | None = None) -> Iterator[Side]:
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    with scratch() as place, inductor.patch(**({} if reads is None else {"realize_reads_threshold": reads})):
        side = Ours(context, context.cifar, size, compiler(place), "adamw", deterministic=deterministic)
        try:
            yield side
        finally:
            side.close()
            inductor.deterministic = False  # as it was: `compiler` sets it for the process


@contextmanager
def _theirs(context: Context, size: int) -> Iterator[Side]:
    torch._dynamo.reset()
    yield Theirs(context, context.cifar, size, compiled=True)


def _judged(context: Context, side: Side) -> dict[str, Any]:
    for _ in range(context.size(2, 1)):
        side()  # compiled, and recorded where it is
    seconds = median(side() for _ in range(context.size(WINDOWS, 1)))
    return {"ms a step": 1e3 * seconds, **_profiled(context, side)}


def _profiled(context: Context, side: Side) -> dict[str, Any]:
    """Milliseconds a step of the kernels, by kind, and of the forty longest by name with their number a step."""
    window, side.window = side.window, context.size(STEPS, 1)  # type: ignore[attr-defined]
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if context.cuda else [])]
    with profile(activities=activities) as seen:
        side()
    steps, side.window = side.window, window  # type: ignore[attr-defined]
    by_kind: Counter[str] = Counter()
    by_name: list[tuple[float, int, str]] = []
    for event in seen.key_averages():
        own = event.self_device_time_total if context.cuda else event.self_cpu_time_total
        if own <= 0 or event.key.startswith("## Call") or (context.cuda and event.device_type != DeviceType.CUDA):
            continue
        by_kind[kind_of(event.key)] += own / steps / 1e3
        by_name.append((own / steps / 1e3, event.count // steps, event.key[:160]))
    longest = [[round(ms, 4), count, name] for ms, count, name in sorted(by_name, reverse=True)[:40]]
    return {"kernels, ms a step": dict(by_kind.most_common()), "longest": longest}
