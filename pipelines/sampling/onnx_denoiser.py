"""The network of a bundle, run by onnxruntime. No other module of sampling or serving imports onnxruntime."""

import contextlib
import ctypes
import io
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ddpm_core.bundle.format import OUTPUT, Bundle
from ddpm_core.errors import DeviceError, IntegrityError, ParamsError
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, Graph

log = logging.getLogger(__name__)

Net = Callable[[NDArray[np.float32], NDArray[np.float32], Mapping[str, NDArray[Any]]], NDArray[np.float32]]
"""(x, t, conditions by name) -> out; an encoder takes its position in place of t."""

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_TENSORS = {"float32": "tensor(float)", "int64": "tensor(int64)"}  # as onnxruntime calls them
_SILENT = 4
# float32 without TF32, so that a GPU's sample is near the CPU's. The heuristic picks a convolution by its shape and
# no stopwatch. That repeats give equal bits is tested where there is a GPU; onnxruntime itself does not promise it.
# kSameAsRequested takes no more memory than is asked for, as another process may want the rest.
_CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
MEND = (
    "install NVIDIA's libraries with `make install-serve-gpu`, and see which one is missing with `ddpm doctor`; or "
    "take device cpu"
)


class OnnxDenoiser:
    """`net(x, t, cond) -> out` on a device: auto, cpu or cuda; `gpu` is the number of the GPU.

    A GPU is tried with one datum first, since cuDNN is loaded only at the first convolution. Where that fails, `auto`
    takes the CPU and warns, and `cuda` raises DeviceError.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 1, gpu: int = 0) -> None:
        if threads < 1:
            raise ParamsError(f"threads: must be at least 1, got {threads}")
        on_gpu = _on_gpu(bundle, device, threads, gpu) if _wants_cuda(device) else None
        nets = on_gpu or _opened(bundle, threads)
        self._net = nets[MODEL_FILE]
        self.encoder: Net | None = nets.get(ENCODER_FILE)
        """The encoder of a network that is sampled column by column."""
        self.device = "cpu" if on_gpu is None else "cuda"
        self.provider = self._net.provider
        """onnxruntime's name of what really runs the network."""
        self.threads = threads
        log.info("sampling on %s", "the GPU" if self.device == "cuda" else f"the CPU, threads: {threads}")

    def __call__(
        self, x: NDArray[np.float32], t: NDArray[np.float32], cond: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float32]:
        return self._net(x, t, cond)


class _Graph:
    """One graph in a session."""

    def __init__(self, session: onnxruntime.InferenceSession, file: str, graph: Graph) -> None:
        _check(session, file, graph)
        self._session, self._time = session, graph.time
        self.provider: str = session.get_providers()[0]

    def __call__(
        self, x: NDArray[np.float32], t: NDArray[np.float32], cond: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float32]:
        return self.run({"x": x, self._time: t, **cond})

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._session.run([OUTPUT], dict(feeds))[0]
        return out


def _wants_cuda(device: str) -> bool:
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device: must be auto, cpu or cuda, got {device!r}")
    if device == "cpu":
        return False
    if _CUDA not in onnxruntime.get_available_providers():
        return _no_cuda(device, "this onnxruntime is built for the CPU alone")
    if not gpu_count():
        return _no_cuda(device, "no NVIDIA driver with a GPU answers")
    return True


def _no_cuda(device: str, why: str) -> bool:
    """Raise where CUDA was asked for; with `auto` take the CPU."""
    if device == "cuda":
        raise DeviceError(f"device: cuda was asked for, but {why}; install onnxruntime-gpu, or take auto or cpu")
    log.debug("no CUDA: %s", why)
    return False


def _on_gpu(bundle: Bundle, device: str, threads: int, gpu: int) -> dict[str, _Graph] | None:
    """Graphs that work on the GPU; None, after a warning, where they do not and `auto` allows the CPU."""
    said = preload()
    try:
        sessions = {file: _session(content, threads, gpu) for file, content in bundle.contents.items()}
        if all(_CUDA in session.get_providers() for session in sessions.values()):
            found = {file: _Graph(session, file, bundle.graphs[file]) for file, session in sessions.items()}
            for file, graph in found.items():
                graph.run(bundle.graphs[file].blank(1))
            return found
        why = "onnxruntime could not start its CUDA provider"
    except IntegrityError:
        raise
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common class of their own
        why = f"the GPU failed on one datum: {_short(error)}"
    _opened(bundle, threads)  # a graph that no provider can open is another fault
    why = f"{why} ({_short(said)})" if said else why
    if device == "cuda":
        raise DeviceError(f"device: cuda was asked for, but {why}; {MEND}")
    log.warning("sampling on the CPU: %s; %s", why, MEND)
    return None


def _opened(bundle: Bundle, threads: int) -> dict[str, _Graph]:
    """The graphs on the CPU."""
    return {
        file: _Graph(open_graph(content, file, threads), file, bundle.graphs[file])
        for file, content in bundle.contents.items()
    }


def preload() -> str:
    """Load CUDA's libraries from NVIDIA's packages and return what onnxruntime prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        onnxruntime.preload_dlls()
    return said.getvalue()


def in_one_shape(net: Net, size: int) -> Net:
    """`net` called with batches of one size: longer ones are cut, shorter ones padded with copies of the last row.

    On a GPU each new batch size costs a search for kernels, and kernels of another size round differently.
    """

    def ask(x: NDArray[np.float32], t: NDArray[np.float32], cond: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        n = len(x)
        rows = np.minimum(np.arange(-(-n // size) * size), n - 1)
        parts = [
            net(x[part], t[part], {name: value[part] for name, value in cond.items()})
            for part in rows.reshape(-1, size)
        ]
        return np.concatenate(parts)[:n]

    return ask


def in_few_shapes(net: Net) -> Net:
    """`net` called with batches of 1, 2, 4, 8, ... alone, padded as by `in_one_shape`."""

    def ask(x: NDArray[np.float32], t: NDArray[np.float32], cond: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return in_one_shape(net, 1 << (len(x) - 1).bit_length())(x, t, cond)

    return ask


def gpu_count() -> int:
    """Count GPUs by the driver: onnxruntime lists its CUDA provider even on machines without a GPU."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        return count.value if found else 0
    return 0


def run_graph(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The one output of a graph that is run once, on one thread of the CPU."""
    found: NDArray[Any] = open_graph(model, "the graph", 1).run(None, dict(feeds))[0]
    return found


def open_graph(model: bytes, file: str, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU, as sampling opens it."""
    try:
        return _session(model, threads, None)
    except Exception as error:  # onnxruntime's exceptions have no common class of their own
        raise IntegrityError(
            f"{file}: must be a model that onnxruntime {onnxruntime.__version__} can open, got: {_short(error)}; "
            "make the bundle again with `ddpm export`"
        ) from error


def _session(model: bytes, threads: int, gpu: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin while they wait take CPU time from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _SILENT
    options.use_deterministic_compute = True
    providers: list[Any] = [_CPU] if gpu is None else [(_CUDA, {**_CUDA_OPTIONS, "device_id": str(gpu)}), _CPU]
    onnxruntime.set_default_logger_severity(_SILENT)  # else a CUDA provider that cannot start prints to stderr
    # onnxruntime's own fallback prints to stdout, and would leave the GPU in the middle of a sampling
    return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)


def _check(session: onnxruntime.InferenceSession, file: str, graph: Graph) -> None:
    """Refuse a graph whose inputs and output are not those of bundle.json."""
    inputs = {node.name: (node.type, node.shape[1:]) for node in session.get_inputs()}
    outputs = {node.name: (node.type, node.shape[1:]) for node in session.get_outputs()}
    wanted = {name: (_TENSORS[each.dtype], list(each.shape)) for name, each in graph.inputs.items()}
    gives = {OUTPUT: ("tensor(float)", list(graph.out))}
    if inputs != wanted or outputs != gives:
        raise IntegrityError(
            f"{file}: must take {wanted} and give {gives}, as bundle.json says, but takes {inputs} and gives "
            f"{outputs}; make the bundle again with `ddpm export`"
        )


def _short(said: object) -> str:
    return " ".join(str(said).split())[:300]
