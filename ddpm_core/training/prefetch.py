"""Prepares batches in a thread while the step before computes."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")
_LAST_ITEM = 10.0  # seconds to wait for the current item when the reader leaves
_PATIENCE = 0.2  # seconds between checks whether the reader has left


@dataclass(frozen=True)
class _End:
    """The end of the source: its last item, or an error to raise in the reader."""

    error: BaseException


class Prefetch(Generic[Item]):
    """Runs an iterator up to `depth` items ahead of its reader; raises its errors in the reader."""

    def __init__(self, source: Iterator[Item], depth: int = 2) -> None:
        self._queue: Queue[Item | _End] = Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(source,), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while not self._closed.is_set():
            try:
                item = self._queue.get(timeout=_PATIENCE)
            except Empty:
                continue
            if isinstance(item, _End):
                self.close()
                raise item.error
            return item
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and drop its items. A thread inside torch when Python exits would abort the process."""
        self._closed.set()
        self._thread.join(_LAST_ITEM)

    def _fill(self, source: Iterator[Item]) -> None:
        try:
            for item in source:
                if not self._put(item):
                    return
            self._put(_End(StopIteration()))
        except BaseException as error:  # noqa: BLE001 (raised in the reader)
            self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_PATIENCE)
                return True
            except Full:
                continue
        return False
