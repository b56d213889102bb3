"""Checks of everything that a GPU needs, each with the way to mend it. Without a GPU one line says so."""

import contextlib
import ctypes
import io
import os
import shutil
import sysconfig
from collections.abc import Sequence
from typing import Any

from pipelines.runtime.requirement import Check, Missing, NotHere

SERVE_GPU = "install the extra `serve-gpu` (make install-serve-gpu)"
TORCH = "install a torch that is built for this GPU and driver (docs/gpu.md)"
_DRIVER_FILES = ("libcuda.so.1", "nvcuda.dll")
_COUNT_LIMIT = 64  # the maximum number of GPUs; a driver that reports more is not believed


def checks() -> tuple[Check, ...]:
    """Each check builds on those before it."""
    return (
        Check("GPUs", gpus, "check that the driver runs (`nvidia-smi`) and that the container has access to the GPUs"),
        Check("driver", driver, "install NVIDIA's driver"),
        Check("torch's CUDA", torch_cuda, f"install a newer driver, or {TORCH}"),
        Check("torch's kernels", torch_kernels, TORCH),
        Check("torch multiplies", torch_multiplies, TORCH),
        Check("torch's cuDNN", torch_cudnn, "install nvidia-cudnn-cu13 in the version that torch's metadata name"),
        Check("bfloat16", bfloat16, "set train.precision to fp32, or take a GPU of compute capability 8.0 or more"),
        Check("compiling", compiling, "install gcc and Python's headers (python3-dev), or set train.compile to never"),
        Check("NCCL", nccl, f"{TORCH}; only several GPUs need it"),
        Check("onnxruntime's CUDA", runtime_provider, SERVE_GPU),
        Check("its libraries", runtime_libraries, SERVE_GPU),
        Check("its first run", runtime_runs, f"first mend the failures above, else {SERVE_GPU}"),
    )


def examine_gpu(table: Sequence[Check] | None = None) -> tuple[list[tuple[str, str]], list[str]]:
    """(name, text) of every check, and a line with the way to mend it for each that failed."""
    if not gpu_names():
        return [("GPU", "none found: everything runs on the CPU")], []
    lines, faults = [], []
    for check in checks() if table is None else table:
        try:
            text = check.look()
        except NotHere as reason:
            text = f"skipped: {reason}"
        except Exception as error:  # noqa: BLE001  a broken driver may raise any error, which is the finding
            why = " ".join(str(error).split())[:300] or type(error).__name__
            text = f"FAILS: {why}"
            faults.append(f"{check.name}: {why}; {check.mend}")
        lines.append((check.name, text))
    return lines, faults


# ------------------------------------------------------------------------------------------------- the driver


def gpu_names() -> list[str]:
    """The GPUs that the driver reports; none without a driver."""
    cuda = _cuda_driver()
    count = ctypes.c_int(0)
    if cuda is None or cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    names = []
    for number in range(min(count.value, _COUNT_LIMIT)):
        text = ctypes.create_string_buffer(128)
        named = cuda.cuDeviceGetName(text, len(text), number) == 0
        names.append(text.value.decode(errors="replace") if named else "a GPU without a name")
    return names


def driver_cuda() -> tuple[int, int]:
    """The newest CUDA version that the driver supports."""
    cuda, version = _cuda_driver(), ctypes.c_int(0)
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
        raise Missing("the driver does not report its version")
    return version.value // 1000, version.value % 1000 // 10


def _cuda_driver() -> Any:
    for name in _DRIVER_FILES:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None


def gpus() -> str:
    names = gpu_names()
    return f"{len(names)}: " + ", ".join(names)


def driver() -> str:
    major, minor = driver_cuda()
    return f"supports CUDA up to {major}.{minor}"


# ------------------------------------------------------------------------------------------------- torch


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise NotHere(f"torch cannot be imported ({error})") from error
    return torch


def _torch_on_gpu() -> Any:
    torch = _torch()
    if not torch.cuda.is_available():
        raise Missing("torch sees no GPU (see CUDA_VISIBLE_DEVICES, and the lines above)")
    return torch


def torch_cuda() -> str:
    """A torch for CUDA 13.2 runs on every driver of CUDA 13 (minor versions are compatible), and on none of 12."""
    built = _torch().version.cuda
    if built is None:
        raise Missing("this torch is built for the CPU alone")
    supported = driver_cuda()
    if int(built.split(".")[0]) > supported[0]:
        raise Missing(f"torch is built for CUDA {built}, and the driver supports {supported[0]}.{supported[1]} at most")
    return f"built for {built}"


def torch_kernels() -> str:
    """Whether torch was compiled for this capability, for a smaller minor of the same major, or as PTX for it."""
    torch = _torch_on_gpu()
    known, texts = torch.cuda.get_arch_list(), []
    for number in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(number)
        if not any(_runs_on(arch, major, minor) for arch in known):
            raise Missing(
                f"GPU {number} has compute capability {major}.{minor}, but this torch supports {', '.join(known)}"
            )
        texts.append(f"{major}.{minor}")
    return f"compute capability {', '.join(texts)}, supported"


def _runs_on(arch: str, major: int, minor: int) -> bool:
    kind, _, number = arch.partition("_")
    digits = "".join(letter for letter in number if letter.isdigit())
    if not digits:
        return False
    its_major, its_minor = divmod(int(digits), 10)
    if kind == "compute":
        return (its_major, its_minor) <= (major, minor)
    exact = not number.isdigit()  # sm_90a runs on 9.0 alone
    return its_major == major and (its_minor == minor if exact else its_minor <= minor)


def torch_multiplies() -> str:
    torch = _torch_on_gpu()
    ones = torch.ones(64, 64, device="cuda")
    if float((ones @ ones).sum()) != 64.0**3:
        raise Missing("a product of matrices is wrong")
    return "yes"


def torch_cudnn() -> str:
    torch = _torch_on_gpu()
    if not torch.backends.cudnn.is_available():
        raise Missing("cuDNN cannot be loaded")
    image, kernel = torch.ones(1, 4, 8, 8, device="cuda"), torch.ones(4, 4, 3, 3, device="cuda")
    if float(torch.nn.functional.conv2d(image, kernel)[0, 0, 0, 0]) != 36.0:
        raise Missing("a convolution is wrong")
    return f"version {torch.backends.cudnn.version()}"


def bfloat16() -> str:
    torch = _torch_on_gpu()
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return "not in hardware: train.precision auto takes float32"
    return "in hardware"


def compiling() -> str:
    """Triton builds a small C program when it first compiles: it needs a compiler and Python.h."""
    _torch_on_gpu()
    try:
        import triton
    except ImportError as error:
        raise Missing(f"triton cannot be imported ({error})") from error
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if not compiler:
        raise Missing("no C compiler found")
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if not os.path.isfile(header):
        raise Missing(f"{header} not found")
    return f"triton {triton.__version__}, {compiler}, Python.h"


def nccl() -> str:
    torch = _torch()
    if not torch.distributed.is_available() or not torch.distributed.is_nccl_available():
        raise Missing("this torch has no NCCL")
    return ".".join(map(str, torch.cuda.nccl.version()))


# ------------------------------------------------------------------------------------------------- onnxruntime


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotHere(f"onnxruntime cannot be imported ({error})") from error
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise NotHere("this onnxruntime is built for the CPU alone")
    return onnxruntime


def runtime_provider() -> str:
    try:
        runtime = _runtime()
    except NotHere as reason:
        raise Missing(str(reason)) from reason
    return f"onnxruntime {runtime.__version__}, built for CUDA {getattr(runtime, 'cuda_version', 'unknown')}"


def runtime_libraries() -> str:
    """Load each library that the provider links or loads late, with the directories of NVIDIA's packages."""
    runtime = _runtime()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it cannot load; the check reports it below
        runtime.preload_dlls()
    wanted, absent = needed_libraries(getattr(runtime, "cuda_version", "13.0")), []
    for name in wanted:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            absent.append(f"{name} ({error})")
    if absent:
        raise Missing("cannot be loaded: " + ", ".join(absent))
    return ", ".join(wanted)


def needed_libraries(cuda: str) -> tuple[str, ...]:
    """By the major version of CUDA that onnxruntime is built for."""
    major = cuda.split(".")[0]
    names = (f"libcudart.so.{major}", f"libcublasLt.so.{major}", f"libcublas.so.{major}", "libcurand.so.10")
    return (*names, f"libnvrtc.so.{major}", "libcudnn.so.9")


def sampling_provider() -> str:
    """What `device: auto` would take, as a convolution there shows."""
    why = "no GPU"
    if gpu_names():
        try:
            runtime_libraries()  # loads them
            runtime_runs()
            return "CUDA (a convolution ran there)"
        except Exception as error:  # noqa: BLE001  whatever the GPU lacks, `auto` takes the CPU
            why = f"the GPU fails: {' '.join(str(error).split())[:300]}"
    try:
        import onnxruntime
    except ImportError as error:
        return f"nothing: onnxruntime cannot be imported ({error})"
    _convolve(onnxruntime, "CPUExecutionProvider")
    return f"CPU (a convolution ran there; {why})"


def runtime_runs() -> str:
    """One convolution with the CUDA provider, which loads cuDNN."""
    _convolve(_runtime(), "CUDAExecutionProvider", "CPUExecutionProvider")
    return "a convolution on the GPU is right"


def _convolve(runtime: Any, *providers: str) -> None:
    """A convolution with the first of these providers, or Missing."""
    import numpy as np

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(CONVOLUTION, options, providers=list(providers), enable_fallback=0)
    if providers[0] not in session.get_providers():
        raise Missing(f"the {providers[0].removesuffix('ExecutionProvider')} provider does not start")
    (out,) = session.run(None, {"x": np.ones((1, 1, 3, 3), np.float32), "w": np.ones((1, 1, 3, 3), np.float32)})
    if out.shape != (1, 1, 1, 1) or out.item() != 9.0:
        raise Missing(f"the convolution of nine ones must be 9, got {out.tolist()}")


# The graph `y = Conv(x, w)`, opset 20, as onnx writes it; this module needs no onnx.
CONVOLUTION = bytes.fromhex(
    "080a3a5f0a0f0a01780a01771201792204436f6e761201675a170a017812120a100801120c0a0208010a0208010a000a005a"
    "170a017712120a100801120c0a0208010a0208010a000a0062170a017912120a100801120c0a0208010a0208010a000a0042"
    "040a001014"
)
