"""The network of a bundle, run by onnxruntime: the only module that imports it."""

import ctypes
import logging
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ddpm_core.bundle import OUTPUT, Bundle
from ddpm_core.errors import DeviceError, IntegrityError, ParamsError

log = logging.getLogger(__name__)

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_SILENT = 4
# Deterministic kernels in true float32, so that a GPU gives nearly the CPU's image and always its own.
_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


class OnnxDenoiser:
    """`net(x, t, label) -> out` on the device asked for: auto, cpu or cuda, there on the GPU of this number."""

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 1, gpu: int = 0) -> None:
        if threads < 1:
            raise ParamsError(f"threads: must be at least 1, got {threads}")
        wants_cuda = _wants_cuda(device)
        self._conditional = bundle.conditional
        self._session = _open(bundle.model, threads, gpu if wants_cuda else None)
        self.device = "cuda" if _CUDA in self._session.get_providers() else "cpu"
        if wants_cuda and self.device == "cpu":
            _no_cuda(device, "onnxruntime could not start its CUDA provider (its CUDA or cuDNN libraries are missing)")
        self.threads = threads
        self._check(bundle)
        log.info("sampling on %s", "the GPU" if self.device == "cuda" else f"the CPU, threads: {threads}")

    def __call__(self, x: NDArray[np.float32], t: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        feeds: dict[str, Any] = {"x": x, "t": t}
        if self._conditional:
            feeds["label"] = label
        out: NDArray[np.float32] = self._session.run([OUTPUT], feeds)[0]
        return out

    def _check(self, bundle: Bundle) -> None:
        """The graph must take and give what bundle.json says."""
        inputs = {node.name: (node.type, node.shape[1:]) for node in self._session.get_inputs()}
        outputs = {node.name: (node.type, node.shape[1:]) for node in self._session.get_outputs()}
        must: dict[str, tuple[str, list[int]]] = {
            "x": ("tensor(float)", list(bundle.spec.shape)),
            "t": ("tensor(float)", []),
            "label": ("tensor(int64)", []),
        }
        wanted = {name: must[name] for name in bundle.input_names}
        gives = {OUTPUT: ("tensor(float)", [bundle.out_channels, *bundle.spec.shape[1:]])}
        if inputs != wanted or outputs != gives:
            raise IntegrityError(
                f"model.onnx: must take {wanted} and give {gives}, as bundle.json says, but takes {inputs} and gives "
                f"{outputs}; make the bundle again with `ddpm export`"
            )


def _wants_cuda(device: str) -> bool:
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device: must be auto, cpu or cuda, got {device!r}")
    if device == "cpu":
        return False
    if _CUDA not in onnxruntime.get_available_providers():
        return _no_cuda(device, "this onnxruntime is built for the CPU alone")
    if not gpu_count():
        return _no_cuda(device, "no NVIDIA driver with a GPU answers")
    onnxruntime.preload_dlls()
    return True


def _no_cuda(device: str, why: str) -> bool:
    """An error where CUDA was asked for; with `auto` the CPU does it."""
    if device == "cuda":
        raise DeviceError(f"device: cuda was asked for, but {why}; install onnxruntime-gpu, or take auto or cpu")
    log.debug("no CUDA: %s", why)
    return False


def gpu_count() -> int:
    """Ask the driver itself: onnxruntime lists its CUDA provider on machines that have no GPU."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        return count.value if found else 0
    return 0


def _open(model: bytes, threads: int, gpu: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that wait by spinning starve whatever else runs on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _SILENT
    options.use_deterministic_compute = True
    providers: list[Any] = [_CPU] if gpu is None else [(_CUDA, {**_CUDA_OPTIONS, "device_id": str(gpu)}), _CPU]
    onnxruntime.set_default_logger_severity(_SILENT)  # else a CUDA provider that cannot start prints to stderr
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common class of their own
        raise IntegrityError(
            f"model.onnx: must be a model that onnxruntime {onnxruntime.__version__} can open, got: "
            f"{' '.join(str(error).split())[:300]}; make the bundle again with `ddpm export`"
        ) from error
