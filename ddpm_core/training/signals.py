"""The first SIGTERM or SIGINT asks the work to stop at a good place; the second ends the process at once.

A second one that follows within two seconds is the first one again: Ctrl-C reaches every process of a terminal, and
`ddpm run` passes on to its stage what it hears. In a process that a launcher started a second one never counts: it is
told twice where both hear the signal, and its launcher ends it if need be.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 2.0


class StopRequest:
    """Whether a signal asked to stop, and which."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __call__(self) -> bool:
        return self.name is not None


@contextmanager
def listening(*, second_leaves: bool = True, echo_seconds: float = ECHO_SECONDS) -> Iterator[StopRequest]:
    """Listen to the signals while the work is done; away from the main thread, where Python hears none, do nothing."""
    request = StopRequest()
    heard = 0.0

    def hear(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if request():
            if second_leaves and time.monotonic() - heard > echo_seconds:
                os._exit(128 + number)
            return
        request.name, heard = signal.Signals(number).name, time.monotonic()
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
