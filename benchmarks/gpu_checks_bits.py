"""Checks 3 and 4: the same bits twice, eager and compiled, and no step that waits for the GPU."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from gpu_acceptance import Record
from gpu_common import OPTIMISERS, Context, config_of, prepare, scratch, stirred, tensors_of, trainer_of
from gpu_tensors import same_bits, unequal
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm_core.models.layers import Attention
from ddpm_core.training.trainer import Trainer

SYNCS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::item"}
HERE = Path(__file__).parent


# --------------------------------------------------------------------------------------- 3: the same bits twice


def repeats(context: Context, record: Record) -> None:
    """Two trainings, the backward pass of attention, and two compilations from nothing."""
    precision = "bf16" if context.cuda else "fp32"
    with _deterministic_warnings() as found:
        dtype = prepare(precision)
        one, two = (_ten_steps(context, dtype) for _ in range(2))
        record.must("two trainings equal", not unequal(one, two), unequal(one, two)[:5] or True)
        if context.cuda and "records" in signature(Trainer).parameters:
            launched = _ten_steps(context, dtype, records=False)
            record.must("launched is recorded", not unequal(one, launched), unequal(one, launched)[:5] or True)
        for channels, heads, side in context.size(((256, 1, 16), (256, 4, 16), (64, 4, 14)), ((16, 2, 8),)):
            different = _attention_repeats(context, dtype, channels, heads, side)
            record.at_most(f"attention {channels} by {heads} differing", different, 0)
    record.must("no non-deterministic warning", not found, sorted(set(found))[:3] or True)
    record.flush()
    if not context.compiling(record):
        return
    digests = _compiled_digests(context, record)
    record.must("compiled twice equal", len(set(digests)) == 1, [value[:12] for value in digests])


def _ten_steps(context: Context, dtype: torch.dtype, **options: Any) -> dict[str, Tensor]:
    """All tensors of a checkpoint after ten steps of the large network."""
    config = config_of(steps=10, batch_size=context.size(32, 4), optimiser=OPTIMISERS["muon"])
    with scratch() as place:
        trainer = trainer_of(context, context.cifar, config, dtype, folder=place, **options)
        list(trainer.run())
        return tensors_of(trainer, place)


def _attention_repeats(context: Context, dtype: torch.dtype, channels: int, heads: int, side: int) -> int:
    """How many of 19 repeats of a forward and backward pass differ from the first."""
    torch.manual_seed(1)
    layer = stirred(Attention(channels, heads=heads, groups=8)).to(context.device).train()
    x = torch.randn(context.size(64, 4), channels, side, side, device=context.device, requires_grad=True)
    first: list[Tensor] = []
    different = 0
    for _ in range(20):
        inputs = [x, *layer.parameters()]
        with torch.autocast(context.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = layer(x).float().square().mean()
        found = [gradient.cpu() for gradient in torch.autograd.grad(loss, inputs)]
        first = first or found
        different += any(not same_bits(a, b) for a, b in zip(first, found, strict=True))
    return different


@contextmanager
def _deterministic_warnings() -> Iterator[list[str]]:
    """Collects what torch says of kernels without a fixed order, each time and not the first alone."""
    found: list[str] = []
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
            found += [str(each.message)[:200] for each in caught if "determinis" in str(each.message)]
    finally:
        torch.set_warn_always(False)


def _compiled_digests(context: Context, record: Record) -> list[str]:
    """The digests of two short compiled trainings in processes of their own, at once, with empty caches."""
    with scratch() as place:
        running = []
        for name in ("one", "two"):
            caches = {
                "TORCHINDUCTOR_CACHE_DIR": str(place / name / "inductor"),
                "TRITON_CACHE_DIR": str(place / name / "triton"),
            }
            words = [sys.executable, str(HERE / "gpu_compiled.py"), context.device.type, "tiny" if context.tiny else ""]
            running.append(
                subprocess.Popen(
                    words, env={**os.environ, **caches}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
        found = []
        try:
            for process in running:
                said, complaint = process.communicate(timeout=120 if context.cuda else 1200)
                if process.returncode:
                    raise AssertionError(f"gpu_compiled.py ended with {process.returncode}: {complaint[-2000:]}")
                answer = json.loads(said.splitlines()[-1])
                found.append(str(answer["digest"]))
                record.note("compiled seconds", answer["seconds"])
        finally:
            for process in running:
                process.kill()
        return found


# --------------------------------------------------------------------------------- 4: no wait for the GPU in a step


def never_waits(context: Context, record: Record) -> None:
    """Inside a window, where no loss is read; a CPU looks once a step, at whether the loss is finite."""
    dtype = prepare("bf16" if context.cuda else "fp32")
    for name, optimiser in OPTIMISERS.items():
        for policy in ("stop", "skip"):
            config = config_of(
                steps=40, log_every=30, batch_size=context.size(32, 4), optimiser=optimiser, on_nonfinite=policy
            )
            reports = trainer_of(context, context.default, config, dtype).run()
            for _ in range(5):
                next(reports)
            label = f"{name}, {policy}"
            if context.cuda:
                record.must(f"{label}: no wait", *_without_sync(context, reports))
            else:
                with _Looks() as looks:
                    for _ in range(5):
                        next(reports)
                record.at_most(f"{label}: looks a step", looks.count / 5, 1)
            reports.close()


def _without_sync(context: Context, reports: Iterator[Any]) -> tuple[bool, str]:
    context.sync()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            next(reports)
    except RuntimeError as error:
        return False, " ".join(str(error).split())[:200]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return True, "none in 10 steps"


class _Looks(TorchDispatchMode):
    """Counts how often a tensor's value is read."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name in SYNCS
        return func(*args, **(kwargs or {}))
