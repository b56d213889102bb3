"""Threads that ask one network at the same time, answered by one call of it: what a GPU gains from."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sampling.onnx_denoiser import Net

_GATHER = 0.002  # seconds that a call waits for others: more than a sampling loop needs between two calls
_MOST = 128  # data in a call; one that asks for more has a call of its own


@dataclass(frozen=True, eq=False)
class _Asked:
    """What one thread asks, and its answer."""

    x: NDArray[np.float32]
    t: NDArray[np.float32]
    cond: Mapping[str, NDArray[Any]]
    at: float
    answer: Future[NDArray[np.float32]] = field(default_factory=Future)


class CommonCalls:
    """A network for several threads. Those that ask at the same time share a call, each with its own t and conditions.

    `callers` tells how many threads sample now. A call waits until so many ask, until it is full, or for 2 ms in which
    no other call runs.
    """

    def __init__(
        self, net: Net, callers: Callable[[], int], most: int = _MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._net, self._callers, self._most, self._clock = net, callers, most, clock
        self._waiting: list[_Asked] = []
        self._changed = threading.Condition()
        self._busy = False
        self._idle_since = clock()

    def __call__(
        self, x: NDArray[np.float32], t: NDArray[np.float32], cond: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float32]:
        asked = _Asked(x, t, cond, self._clock())
        with self._changed:
            self._waiting.append(asked)
            self._changed.notify_all()
            while not asked.answer.done():
                if self._busy:
                    self._changed.wait()
                elif (rest := self._seconds_to_gather()) > 0:
                    self._changed.wait(rest)
                else:
                    self._answer_first()
        return asked.answer.result()

    def _seconds_to_gather(self) -> float:
        """How long the next call still waits for others; 0 where nobody else is expected or could join."""
        full = sum(len(each.x) for each in self._waiting) >= self._most
        if full or len(self._waiting) >= self._callers():
            return 0.0
        return max(self._waiting[0].at, self._idle_since) + _GATHER - self._clock()

    def _answer_first(self) -> None:
        """One call for those who asked first. Others may ask while it runs."""
        together = self._take()
        self._busy = True
        self._changed.release()
        try:
            _answer(self._net, together)
        finally:
            self._changed.acquire()
            self._busy, self._idle_since = False, self._clock()
            self._changed.notify_all()

    def _take(self) -> list[_Asked]:
        rows, together = 0, list[_Asked]()
        while self._waiting and (not together or rows + len(self._waiting[0].x) <= self._most):
            together.append(self._waiting.pop(0))
            rows += len(together[-1].x)
        return together


def _answer(net: Net, together: list[_Asked]) -> None:
    """Give each its part of one answer, or the error that all of them get."""
    first = together[0]
    try:
        out = net(
            np.concatenate([each.x for each in together]),
            np.concatenate([each.t for each in together]),
            {name: np.concatenate([each.cond[name] for each in together]) for name in first.cond},
        )
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common class of their own
        for each in together:
            each.answer.set_exception(error)
        return
    start = 0
    for each in together:
        each.answer.set_result(out[start : start + len(each.x)])
        start += len(each.x)
