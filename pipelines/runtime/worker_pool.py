"""A map over worker processes that survives the death of any of them.

Each worker is a process with its own function, which may keep what takes long to set up, such as an open network.
Results come in the order of the items, whichever worker made them.
"""

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar, cast

from pipelines.runtime.lifetime import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

Tick = Callable[[], None]
Setup = Callable[[Tick], Callable[[Item], Result]]
"""Runs once in its process and returns the worker's function, which may call the tick to report progress."""

_AHEAD = 3  # chunks per worker that may wait for the reader
# spawn, as a fork of a process with threads (numpy's, torch's) may wait forever for a lock
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Died:
    """The result of an item on which the process died; the exit code is that of multiprocessing.Process."""

    exit_code: int


def plain(function: Callable[[Item], Result]) -> Setup[Item, Result]:
    """The setup of a function that needs none. The function must pickle."""
    return partial(_plain, function)


def _plain(function: Callable[[Item], Result], tick: Tick) -> Callable[[Item], Result]:
    return function


def map_in_workers(
    setups: Sequence[Setup[Item, Result]], items: Iterable[Item], *, chunk: int = 1, on_tick: Tick | None = None
) -> Generator[Result | Died, None, None]:
    """The result of every item, in order, with one worker per setup. Raises an exception of a worker here.

    A worker that dies (a crash of a decoder, lack of memory) is replaced. The items of its chunk are then
    sent one at a time, so that only the one that kills it is lost. Close the iterator to end the workers early.
    """
    source = iter(items)
    workers: list[_Worker[Item, Result]] = [_Worker(setup) for setup in setups]
    chunks: deque[_Chunk[Item, Result]] = deque()  # sent and not yet read, oldest first
    try:
        while True:
            for worker in workers:
                room = not worker.busy and len(chunks) < len(workers) * _AHEAD
                if room and (part := list(islice(source, chunk))):
                    chunks.append(worker.take(part))
            if not chunks:
                return
            ready = chunks[0].results
            busy = {worker.line: worker for worker in workers if worker.busy}
            for line in wait(list(busy), 0 if ready else None):
                busy[cast(Connection, line)].receive(on_tick)
            if ready:
                yield ready.popleft()
                if not ready and not chunks[0].parts:
                    chunks.popleft()
    finally:
        for worker in workers:
            worker.end()


@dataclass(eq=False)
class _Chunk(Generic[Item, Result]):
    """Some items; `parts` are the remaining messages."""

    parts: deque[list[Item]]
    results: "deque[Result | Died]" = field(default_factory=deque)


class _Worker(Generic[Item, Result]):
    """A process, its end of the pipe, and its current chunk. The process starts with its first chunk."""

    line: Connection

    def __init__(self, setup: Setup[Item, Result]) -> None:
        self._setup = setup
        self._process: SpawnProcess | None = None
        self._chunk: _Chunk[Item, Result] = _Chunk(deque())

    @property
    def busy(self) -> bool:
        return bool(self._chunk.parts)

    def take(self, items: list[Item]) -> _Chunk[Item, Result]:
        self._chunk = _Chunk(deque([items]))
        self._send()
        return self._chunk

    def receive(self, on_tick: Tick | None) -> None:
        """Read one message of the process, or learn that it died."""
        parts = self._chunk.parts
        try:
            answer: Any = self.line.recv()
        except (EOFError, OSError):
            answer = [Died(self._exit_code())]
            if len(parts[0]) > 1:
                self._chunk.parts.extend([item] for item in parts.popleft())
                self._send()
                return
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            if on_tick is not None:
                on_tick()
            return
        self._chunk.results.extend(answer)
        parts.popleft()
        if parts:
            self._send()

    def end(self) -> None:
        if self._process is not None:
            self.line.close()
            self._process.terminate()
            self._process.join()

    def _send(self) -> None:
        if self._process is None or not self._process.is_alive():
            self._start()
        with suppress(OSError):  # it has just died; `receive` handles that
            self.line.send(self._chunk.parts[0])

    def _start(self) -> None:
        self.end()
        self.line, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_work, args=(self._setup, theirs), daemon=True)
        self._process.start()
        theirs.close()  # else the pipe would stay open when the process dies, and nobody would notice

    def _exit_code(self) -> int:
        process = cast(SpawnProcess, self._process)
        process.join()
        return process.exitcode or 0


def _work(setup: Setup[Item, Result], line: Connection) -> None:
    """The worker process: answer every list of items until the pipe is closed."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends its workers
    function: Callable[[Item], Result] | None = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent closed the pipe
        while True:
            items = line.recv()
            answer: list[Result] | Exception
            try:
                function = function or setup(lambda: line.send(None))
                answer = [function(item) for item in items]
            except Exception as error:  # noqa: BLE001 - the parent raises it
                error.add_note("".join(traceback.format_exception(error)))  # the traceback in the worker
                answer = error
            line.send(answer)
