"""Compiled networks: when they pay back the time to compile them, and where their code is kept."""

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
from ddpm_core.training.config import Compile

PAYS_FROM = {"cuda": 10_000}
"""Steps from which on `auto` compiles. By the plan and no stopwatch, so that one machine always gives the same bits.

On a CPU it does not: of three networks a compiled step was as fast, 3 % faster and 9 % slower (docs/training.md).
"""


def is_compiled(choice: Compile, steps: int, device: torch.device) -> bool:
    """Whether a training of so many steps is to be compiled; `auto` does not where no compiler is there."""
    if choice == "auto":
        return device.type in PAYS_FROM and steps >= PAYS_FROM[device.type] and _has_compiler(device)
    if choice == "always" and not _has_compiler(device):
        needs = "triton, a C compiler" if device.type == "cuda" else "a C++ compiler (g++ or clang++)"
        raise DeviceError(
            f"train.compile: always needs {needs} and Python's header files (Python.h), and one of them is not there; "
            "install it (python3-dev has the header files on Debian), or set it to never"
        )
    return choice == "always"


def _has_compiler(device: torch.device) -> bool:
    """As Triton and Inductor need one: both build a module of Python, with Python's own header files."""
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return False
    if device.type == "cuda":
        names = (os.environ.get("CC") or "cc", "gcc", "clang")
        return importlib.util.find_spec("triton") is not None and any(map(shutil.which, names))
    return any(map(shutil.which, (os.environ.get("CXX") or "g++", "clang++")))


def _order_is_fixed() -> bool:
    return torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()


def compiler(folder: Path) -> Callable[[nn.Module], nn.Module]:
    """What compiles a network at its first use; the code is kept in the folder, for the next training."""

    def compiled(net: nn.Module) -> nn.Module:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
        if _order_is_fixed():
            torch._inductor.config.deterministic = True  # chooses kernels by rule and not by stopwatch
        return cast(nn.Module, torch.compile(net, dynamic=False))

    return compiled
