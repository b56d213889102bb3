"""Compiled networks: when compiling saves time, and where the compiled code is cached."""

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ddpm_core.errors import DeviceError
from ddpm_core.objectives.batch import Batch
from ddpm_core.training.config import Compile

# Measured on an H200 (benchmarks/RESULTS.md): the time that a compiled step saves, as a constant and per 10^12
# operations, and the time to compile. The saving must be twice the cost, as GPUs and networks differ.
SAVES_SECONDS, SAVES_SECONDS_PER_TERAFLOP = 2.5e-3, 3.3e-3
COMPILING_SECONDS, WORTH = 80.0, 2.0


def pays(steps: int, flops: float) -> bool:
    """Whether compiling shortens a GPU's training of `steps` steps of `flops` operations each."""
    saved = SAVES_SECONDS + SAVES_SECONDS_PER_TERAFLOP * flops * 1e-12
    return steps * saved >= WORTH * COMPILING_SECONDS


def is_compiled(choice: Compile, steps: int, device: torch.device, flops: Callable[[], float]) -> bool:
    """Whether to compile a training whose steps take `flops()` operations.

    `auto` follows a rule, not a measurement, so that a machine always gives the same bits. It does not compile without
    a compiler, nor on a CPU, where it gains nothing (docs/training.md).
    """
    if choice == "auto":
        return device.type == "cuda" and pays(steps, flops()) and _has_compiler(device)
    if choice == "always" and not _has_compiler(device):
        needs = "triton, a C compiler" if device.type == "cuda" else "a C++ compiler (g++ or clang++)"
        raise DeviceError(
            f"train.compile: always needs {needs} and Python's header files (Python.h), but one of them is missing; "
            "install it (python3-dev has the header files on Debian), or set it to never"
        )
    return choice == "always"


def operations(build: Callable[[], nn.Module], like: Batch, batch_size: int) -> float:
    """Operations of forward and backward for a batch of data like `like`, counted by torch on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad():
        net = build()
        x0, cond = like.x0[:1].to("meta"), {name: values[:1].to("meta") for name, values in like.cond.items()}
        with FlopCounterMode(display=False) as counter:
            net(x0, torch.zeros(1), **cond)
    return float(3 * batch_size * counter.get_total_flops())  # backward takes twice what forward does


def _has_compiler(device: torch.device) -> bool:
    """Whether Triton or Inductor can compile: both build a Python module, which needs Python's header files."""
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return False
    if device.type == "cuda":
        names = (os.environ.get("CC") or "cc", "gcc", "clang")
        return importlib.util.find_spec("triton") is not None and any(map(shutil.which, names))
    return any(map(shutil.which, (os.environ.get("CXX") or "g++", "clang++")))


def _order_is_fixed() -> bool:
    return torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()


def compiler(folder: Path) -> Callable[[nn.Module], nn.Module]:
    """A function that compiles a network at its first use; `folder` caches the code for the next training."""

    def compiled(net: nn.Module) -> nn.Module:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
        if _order_is_fixed():
            torch._inductor.config.deterministic = True  # chooses kernels by rule, not by measurement
        return cast(nn.Module, torch.compile(net, dynamic=False))

    return compiled
