"""Which device computes, in which precision, and seeded generators on it. No other module names a device."""

import ctypes
import logging
import os
import resource
import sys
from collections.abc import Sequence
from typing import Literal, TypeVar, cast

import numpy as np
import torch

from ddpm_core.diffusion.noise import Purpose
from ddpm_core.errors import DeviceError

_log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=torch.nn.Module)

Precision = Literal["bf16", "tf32", "fp32"]
"""Autocast to bfloat16; float32 whose products a GPU may round to TF32; float32."""

Order = Literal["fixed", "fixed if possible", "any"]
"""Kernels that add in a fixed order or an error; a fixed order or a warning; the fastest kernels."""
_DEBUG_MODES = {"fixed": "error", "fixed if possible": "warn", "any": "default"}


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one, else the CPU; `cuda` without a GPU is an error."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise DeviceError(f"device: must be auto, cpu or cuda, got {name!r}")
    if not torch.cuda.is_available():
        built = f"torch {torch.__version__} finds no CUDA device"
        raise DeviceError(f"device: cuda needs a GPU, but {built}; set runtime.device to auto or cpu")
    return torch.device("cuda", torch.cuda.current_device())


def pick_precision(name: str, device: torch.device) -> Precision:
    """The precision of a training: bf16, tf32 or fp32; `auto` is bf16 if the hardware is fast at it, else fp32.

    `auto` follows a rule, not a measurement, so that a machine always gives the same bits (docs/training.md).
    """
    on_gpu = device.type == "cuda"
    has_bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "auto":
        return "bf16" if has_bf16 or (not on_gpu and _cpu_has_fast_bf16()) else "fp32"
    if name == "tf32" and not on_gpu:
        raise DeviceError(
            "precision: tf32 needs an NVIDIA GPU, but this training is on the CPU; set it to auto or fp32"
        )
    if name == "bf16" and on_gpu and not has_bf16:
        _log.warning("precision bf16: %s has no hardware support for bfloat16 and will be slow", describe(device))
    if name in ("bf16", "tf32", "fp32"):
        return cast(Precision, name)
    raise DeviceError(f"precision: must be auto, bf16, tf32 or fp32, got {name!r}")


def dtype_of(precision: Precision) -> torch.dtype:
    """The type that autocast computes in; weights are float32 always."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def set_precision(precision: Precision) -> None:
    """How a GPU multiplies float32: with `fp32` in float32, else in TF32 (10 bits of fraction).

    Uses torch's older switches: its compiler reads these and raises if the newer ones (`fp32_precision`) were set.
    """
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"  # torch's default is True


def _cpu_has_fast_bf16() -> bool:
    """AMX tiles or AVX-512 BF16, unless oneDNN is told not to use them."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if limit in ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"):
        return False
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))


def describe(device: torch.device) -> str:
    """The device in words, for the log."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


def laid_out(net: Network, device: torch.device) -> Network:
    """A network on the device, in the memory format that its convolutions prefer: channels_last on a GPU."""
    net.to(device)
    return net.to(memory_format=torch.channels_last) if device.type == "cuda" else net


def machine(device: torch.device) -> str:
    """The kind of machine, as the last bits of a result may depend on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"a CPU with {torch.backends.cpu.get_cpu_capability()}"


def peak_memory(device: torch.device) -> dict[str, float]:
    """The peak memory in MB (10^6 bytes) of this process, and of the GPU if it uses one."""
    unit = 1e-6 if sys.platform == "darwin" else 1024e-6  # the unit of getrusage
    peaks = {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        peaks["gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) * 1e-6
    return peaks


def make_repeatable(threads: int, precision: Precision = "fp32", order: Order = "fixed if possible") -> None:
    """Make the same seed give the same bits: fix the threads, the precision and the order in which kernels add."""
    torch.set_num_threads(threads)
    set_precision(precision)
    set_order(order)
    keep_memory()


def set_order(order: Order) -> None:
    """Set the order in which a GPU's kernels add; on a CPU it is always fixed.

    Call it first: a process group reads this when it is made, and cuBLAS when it starts. Attention needs `fixed`: with
    a mere warning torch uses a backward kernel that has no fixed order.
    """
    on_gpu = torch.cuda.is_available()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # use_deterministic_algorithms does the same and imports the compiler
    torch.set_deterministic_debug_mode(_DEBUG_MODES[order] if on_gpu else "warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = on_gpu and order == "any"


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_memory() -> None:
    """Let this process reuse memory that it freed, instead of returning every large block to the system.

    By default the C library of Linux asks the kernel for new, zeroed pages for each tensor of more than some MB, which
    takes more time than the arithmetic (benchmarks/RESULTS.md). Does nothing without `mallopt`.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def torch_seed(seed: int, purpose: int, step: int, process: int = 0) -> int:
    """The seed of torch's generators for one (seed, purpose, step); each process has its own."""
    further = (process,) if process else ()
    words = np.random.SeedSequence((seed, int(purpose), step, *further)).generate_state(1, np.uint64)
    return int(words[0])


def torch_generator(device: torch.device, seed: int, purpose: int, step: int) -> torch.Generator:
    """A generator on the device for one (seed, purpose, step)."""
    return torch.Generator(device=device).manual_seed(torch_seed(seed, purpose, step))


_CHUNK = 2**15
"""Numbers that a GPU draws at once. Above the number of its threads (40,960 on a T4, 270,336 on an H100) the numbers
depend on the GPU."""


def normal(shape: Sequence[int], generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    """Unit noise from a generator, on its device: the same numbers on every GPU."""
    if generator.device.type != "cuda":
        return torch.randn(tuple(shape), generator=generator, device=generator.device, dtype=dtype)
    drawn = torch.empty(tuple(shape), device=generator.device, dtype=dtype)
    for chunk in torch.split(drawn.view(-1), _CHUNK):
        chunk.normal_(generator=generator)
    return drawn


def seed_network(seed: int, step: int, process: int = 0) -> None:
    """Seed torch's global generator, for a network: step 0 for its initial weights, step k + 1 for dropout in update k.

    Each process has its own dropout masks, as each has other rows.
    """
    torch.manual_seed(torch_seed(seed, Purpose.INITIAL_WEIGHTS, step, process))
