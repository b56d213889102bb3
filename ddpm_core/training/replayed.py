"""A function's GPU kernels, recorded once and then launched together: a CUDA graph.

The kernels of a small network's step run for microseconds each, and launching one from Python takes longer. A recording
has exactly the kernels that the function launches, so it gives the same bits.
"""

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

import torch

_log = logging.getLogger(__name__)
_WARM_UP = 2  # calls without a recording, in which libraries choose their kernels and allocate workspaces
_SPARE = 1.1
P = ParamSpec("P")
T = TypeVar("T")


class Replayed(Generic[P, T]):
    """`function` gets the same arguments and reads and writes the same tensors at every call.

    The next call overwrites its result. It must not read from the device. If it cannot be recorded, it is called
    normally, and `undo` reverts what the attempt changed.
    """

    def __init__(self, function: Callable[P, T], what: str, undo: Callable[[], None] = lambda: None) -> None:
        self._function, self._what, self._undo = function, what, undo
        self._calls, self._possible = 0, True
        self._graph: torch.cuda.CUDAGraph | None = None
        self._failed: torch.cuda.CUDAGraph | None = None  # kept, as torch's allocator may still refer to it
        self._result: T

    @property
    def records_next(self) -> bool:
        """Whether the next call records; results of earlier calls must not be needed then."""
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
        """The tensors have changed: record again."""
        self._graph, self._calls = None, 0
        if hasattr(self, "_result"):
            del self._result

    def _record(self, *args: P.args, **kwargs: P.kwargs) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        try:
            _check_room()
            # The prefetch thread pins memory at the same time, which the stricter mode treats as an error.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._function(*args, **kwargs)
        except RuntimeError as error:
            self._possible, self._failed = False, graph
            _log.info("%s is launched kernel by kernel, as it cannot be recorded: %s", self._what, str(error)[:200])
            self._undo()
            torch.cuda.empty_cache()
            return
        self._graph = graph


def _check_room() -> None:
    """A recording keeps as much memory as a call uses; refuse it if that much is not free."""
    used = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
    whole = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    allowed = int(whole * torch.cuda.get_per_process_memory_fraction()) - torch.cuda.memory_reserved()
    free = min(torch.cuda.mem_get_info()[0], allowed)
    if _SPARE * used > free:
        raise RuntimeError(f"it needs {_SPARE * used / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free")
