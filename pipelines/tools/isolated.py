"""A map over worker processes that outlives the death of any of them."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pipelines.lifetime import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 16  # items a task: fewer cost more in passing them than in the work
_AHEAD = 3  # tasks a worker that wait for it or for the reader


@dataclass(frozen=True)
class Died:
    """Stands for the result of an item on which the process died."""


def map_isolated(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result | Died]:
    """`function` of every item, in order, by `workers` processes.

    A worker that is killed (by a decoder that runs wild, or for its memory) takes its companions with it. What they had
    in hand is then done anew, one item at a time in a process of its own, so that only the guilty one is lost.
    """
    source = iter(items)
    waiting: deque[tuple[list[Item], Future[list[Result]]]] = deque()
    pool = _pool(workers)
    try:
        while True:
            while len(waiting) < workers * _AHEAD and (chunk := list(islice(source, _CHUNK))):
                waiting.append((chunk, _submitted(pool, function, chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield from future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=False, cancel_futures=True)
                unfinished = [chunk, *(later for later, _ in waiting)]
                waiting.clear()
                for each in unfinished:
                    yield from _one_by_one(function, each)
                pool = _pool(workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result | Died]:
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield pool.submit(function, item).result()
            except BrokenProcessPool:
                yield Died()
                pool.shutdown(wait=False)
                pool = _pool(1)
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], chunk: list[Item]
) -> Future[list[Result]]:
    try:
        return pool.submit(_apply, function, chunk)
    except BrokenProcessPool as error:  # a worker died since the last look; say so where results are taken
        broken: Future[list[Result]] = Future()
        broken.set_exception(error)
        return broken


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process with threads (numpy's, torch's) may wait for a lock that nobody holds any more
    # Whoever started it may be killed, and a worker would wait for its next task for ever.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=end_with_parent)


def _apply(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]
