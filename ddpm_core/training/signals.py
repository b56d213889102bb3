"""The first SIGTERM or SIGINT asks the work to stop at a safe point; the second ends the process at once.

A second signal within two seconds counts as the first: Ctrl-C reaches every process of a terminal, and `ddpm run` also
passes signals on to its stage. In a process of a launcher a second signal never counts: both may receive the first one,
and the launcher ends the process if needed.

Python handles a signal between two of its own instructions. A main thread in a C call that never returns, such as a
wait for a GPU, does not handle it, so a thread can end such a process.
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
ANSWER_SECONDS = 45.0  # within which a main thread returns from a C call
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
    """Handle the signals during the work; does nothing outside the main thread, where Python handles none.

    With `may_wait`, end the process if its main thread has not handled a signal after `answer_seconds`; the time stops
    while `may_wait()` is true.
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
        again = "; send it again to exit at once" if second_leaves else ""
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
    """End the process if the main thread does not handle a signal, which a pipe reports at once."""
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
            elif time.monotonic() > until and not request():
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
