"""SIGTERM and SIGINT: raised as exceptions, or passed on to child processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from pipelines.runtime.lifetime import LOOK_SECONDS, command_of, descendants

T = TypeVar("T")

CLEANUP_SECONDS = 4.0


class Terminated(BaseException):
    """SIGTERM came: exit and clean up on the way, as on Ctrl-C."""


@contextmanager
def ending_on_sigterm(patience: float = CLEANUP_SECONDS) -> Iterator[None]:
    """Raise SIGTERM as Terminated in this context; a second one exits at once, without waiting for the cleanup.

    The process is ended if the cleanup takes longer than the patience, or if the work swallows the exception.
    """
    end = threading.Timer(patience, os._exit, (128 + signal.SIGTERM,))
    end.daemon = True

    def hear(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        end.start()
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        end.cancel()
        signal.signal(signal.SIGTERM, before)


class Passing:
    """The name of the first signal in `passing_on`, None before it."""

    name: str | None = None


@contextmanager
def passing_on(echo_seconds: float = 2.0) -> Iterator[Passing]:
    """Pass SIGTERM and SIGINT on to all children of this process, as SIGTERM; a second signal kills them.

    A child that starts after the signal gets it too. A second signal right after the first counts as the same one.
    """
    passing, heard = Passing(), 0.0
    over = threading.Event()

    def pass_on() -> None:
        told: set[tuple[int, bytes]] = set()
        while not over.is_set():
            for pid in descendants(os.getpid()):
                known = pid, command_of(pid)  # a signal between fork and exec is lost, so send it again
                if known not in told:
                    told.add(known)
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
            over.wait(LOOK_SECONDS / 2)

    def hear(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if passing.name is None:
            passing.name, heard = signal.Signals(number).name, time.monotonic()
            threading.Thread(target=pass_on, name="signals", daemon=True).start()
        elif time.monotonic() - heard > echo_seconds:
            for pid in descendants(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os._exit(128 + number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield passing
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def in_a_thread(work: Callable[[], T]) -> T:
    """Run the work in another thread, so that the main thread handles signals whatever the work does."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 (it is raised again below)
            failed.append(error)

    thread = threading.Thread(target=run, name="work", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
