"""The first SIGTERM or SIGINT asks the work to stop at a good place; the second ends the process at once.

A second one that follows within two seconds is the first one again: Ctrl-C reaches every process of a terminal, and
`ddpm run` passes on to its stage what it hears. In a process that a launcher started a second one never counts: it is
told twice where both hear the signal, and its launcher ends it if need be.

Python hears a signal between two of its own instructions. A main thread in a call into C that never returns, as one
that waits for a GPU, does not hear it, so a thread may be asked to end such a process.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 2.0
ANSWER_SECONDS = 45.0  # within which a main thread comes back from a call into C
_LOOK_SECONDS = 0.2


class StopRequest:
    """Whether a signal asked to stop, and which."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __call__(self) -> bool:
        return self.name is not None


@contextmanager
def listening(
    *,
    second_leaves: bool = True,
    echo_seconds: float = ECHO_SECONDS,
    may_wait: Callable[[], bool] | None = None,
    answer_seconds: float = ANSWER_SECONDS,
) -> Iterator[StopRequest]:
    """Listen to the signals while the work is done; away from the main thread, where Python hears none, do nothing.

    With `may_wait` the process is ended where its main thread has not heard a signal after `answer_seconds`; while
    `may_wait()` these do not run.
    """
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
    deaf = _ending_deaf(request, may_wait, answer_seconds) if may_wait else nullcontext()
    try:
        with deaf:
            yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ending_deaf(request: StopRequest, may_wait: Callable[[], bool], seconds: float) -> Iterator[None]:
    """End the process where the main thread does not hear a signal; a pipe tells of it at once."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    over = threading.Event()

    def follow() -> None:
        while not over.is_set():
            told = os.read(reader, 1)
            if told[0] in _SIGNALS:
                wait_for_answer(signal.Signals(told[0]))

    def wait_for_answer(number: signal.Signals) -> None:
        until = time.monotonic() + seconds
        while not request() and not over.wait(min(seconds, _LOOK_SECONDS)):
            if may_wait():
                until = time.monotonic() + seconds
            elif time.monotonic() > until:
                _log.error(
                    "%s: the process is in a call that did not end within %g seconds; ended", number.name, seconds
                )
                os._exit(128 + number)

    thread = threading.Thread(target=follow, name="deaf", daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        os.write(writer, b"\0")
        thread.join()
        os.close(writer)
        os.close(reader)
