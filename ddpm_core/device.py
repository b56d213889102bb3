"""Which device computes, in which precision, and seeded generators on it. No other module names a device."""

import ctypes
import logging
import os
import resource
import sys

import numpy as np
import torch

from ddpm_core.diffusion.noise import Purpose
from ddpm_core.errors import DeviceError

_log = logging.getLogger(__name__)


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one and else the CPU; `cuda` without a GPU is an error."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise DeviceError(f"device: must be auto, cpu or cuda, got {name!r}")
    if not torch.cuda.is_available():
        built = f"torch {torch.__version__} finds no CUDA device"
        raise DeviceError(f"device: cuda was asked for, but {built}; set runtime.device to auto or cpu")
    return torch.device("cuda", torch.cuda.current_device())


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that networks compute in: float32, or bfloat16 by autocast (weights stay float32).

    `auto` goes by a rule and no stopwatch, so that one machine always gives the same bits: bfloat16 where the hardware
    multiplies matrices in it and that was measured to be faster (docs/training.md), else float32.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise DeviceError(f"precision: must be auto, fp32 or bf16, got {name!r}")
    if name == "fp32":
        return torch.float32
    if name == "bf16":
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            _log.warning("precision bf16: %s has no bfloat16 of its own and will be slow", describe(device))
        return torch.bfloat16
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_fast_bf16()
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_fast_bf16() -> bool:
    """AMX tiles or AVX-512 BF16, unless oneDNN is told to do without them."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if limit in ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"):
        return False
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))


def precision_name(dtype: torch.dtype) -> str:
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def describe(device: torch.device) -> str:
    """The device in words, for the log."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


def machine(device: torch.device) -> str:
    """The kind of machine, as far as the last bits of a result may depend on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"a CPU with {torch.backends.cpu.get_cpu_capability()}"


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory that was held so far, in MB (10^6 bytes): of this process, and of the GPU where there is one."""
    unit = 1e-6 if sys.platform == "darwin" else 1024e-6  # what getrusage counts in
    peaks = {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        peaks["gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) * 1e-6
    return peaks


def make_repeatable(threads: int) -> None:
    """The same bits from the same seed: fixed threads, and kernels that add in a fixed order."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms does the same and imports the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    keep_memory()


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_memory() -> None:
    """Let this process use memory again that it freed, instead of handing every large block back to the system.

    By itself the C library of Linux asks the kernel for each tensor of more than some MB anew and has its pages zeroed,
    which took more time than the arithmetic (docs/models.md). Elsewhere, where there is no `mallopt`, nothing is done.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def torch_seed(seed: int, purpose: int, step: int, process: int = 0) -> int:
    """The seed of torch's generators for one (seed, purpose, step), and one for each further process."""
    further = (process,) if process else ()
    words = np.random.SeedSequence((seed, int(purpose), step, *further)).generate_state(1, np.uint64)
    return int(words[0])


def torch_generator(device: torch.device, seed: int, purpose: int, step: int) -> torch.Generator:
    """A generator on the device for one (seed, purpose, step)."""
    return torch.Generator(device=device).manual_seed(torch_seed(seed, purpose, step))


def seed_network(seed: int, step: int, process: int = 0) -> None:
    """Torch's global generator, a network's own: its first weights are step 0, what it drops in update k step k + 1.

    Each of several processes drops by numbers of its own, as each has other rows.
    """
    torch.manual_seed(torch_seed(seed, Purpose.INITIAL_WEIGHTS, step, process))
