"""What a function launches on a GPU, recorded once and from then on launched as one: a CUDA graph.

The kernels of a small network's step run for microseconds each, and to launch one from Python takes longer than that.
A recording holds the very kernels that the function launches, so it gives the same bits.
"""

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

import torch

_log = logging.getLogger(__name__)
_WARM_UP = 2  # calls that run as they are: libraries choose their kernels and make their workspaces in them
_SPARE = 1.1
P = ParamSpec("P")
T = TypeVar("T")


class Replayed(Generic[P, T]):
    """`function` gets the same arguments and reads and writes the same tensors at every call.

    What it gives is overwritten by the next call. It must not look at the device. Where it cannot be recorded it is
    called as it is, and `undo` takes back what the attempt left behind.
    """

    def __init__(self, function: Callable[P, T], what: str, undo: Callable[[], None] = lambda: None) -> None:
        self._function, self._what, self._undo = function, what, undo
        self._calls, self._possible = 0, True
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: T

    @property
    def records_next(self) -> bool:
        """Whether the next call records: nothing that an earlier call made may be needed then."""
        return self._graph is None and self._possible and self._calls >= _WARM_UP

    @property
    def is_recorded(self) -> bool:
        return self._graph is not None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.records_next:
            self._record(*args, **kwargs)
        if self._graph is None:
            self._calls += 1
            return self._function(*args, **kwargs)
        self._graph.replay()
        return self._result

    def forget(self) -> None:
        """The tensors are others from here on: record anew."""
        self._graph, self._calls = None, 0
        if hasattr(self, "_result"):
            del self._result

    def _record(self, *args: P.args, **kwargs: P.kwargs) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        try:
            _check_room()
            # A thread that reads ahead pins memory meanwhile, which the stricter mode would take for a fault.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._function(*args, **kwargs)
        except RuntimeError as error:
            self._possible = False
            _log.info("%s is launched kernel by kernel, as it cannot be recorded: %s", self._what, str(error)[:200])
            self._undo()
            torch.cuda.empty_cache()
            return
        self._graph = graph


def _check_room() -> None:
    """A recording keeps memory of its own, as much as a call has used: to run short within it would spoil it."""
    used = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
    whole = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    allowed = int(whole * torch.cuda.get_per_process_memory_fraction()) - torch.cuda.memory_reserved()
    free = min(torch.cuda.mem_get_info()[0], allowed)
    if _SPARE * used > free:
        raise RuntimeError(f"it needs {_SPARE * used / 1e9:.1f} GB of its own, and {free / 1e9:.1f} GB are free")
