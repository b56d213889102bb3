"""The first SIGTERM or SIGINT asks the work to stop at a good place; the second ends the process at once.

Not so in a process that a launcher started: it is told twice where both hear the signal, and its launcher ends it if
need be.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether a signal asked to stop, and which."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __call__(self) -> bool:
        return self.name is not None


@contextmanager
def listening(*, second_leaves: bool = True) -> Iterator[StopRequest]:
    """Listen to the signals while the work is done; away from the main thread, where Python hears none, do nothing."""
    request = StopRequest()

    def hear(number: int, _frame: FrameType | None) -> None:
        if request():
            if second_leaves:
                os._exit(128 + number)
            return
        request.name = signal.Signals(number).name
        again = "; send it again to leave at once" if second_leaves else ""
        _log.warning("%s: finishing the step and saving%s", request.name, again)

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
