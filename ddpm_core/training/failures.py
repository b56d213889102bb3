"""If one process of a training fails, all end: the store has the failure, and a thread ends a process that hangs.

The first failure counts. The main thread of another process may notice it only much later, for example if it waits for
a GPU that waits for the failed process. So a thread of each process watches the store and, after a grace period, ends
the process with the exit code of that failure.
"""

import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import Stopped, TryAgain

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_log = logging.getLogger(__name__)
_KEY = "failure"
GRACE_SECONDS = 20.0  # for a process to end by itself after a failure anywhere
_LOOK_SECONDS = 1.0
_LEAVE_SECONDS = 5.0  # for a read of the store that is still running at the end


class PeerLost(TryAgain):
    """An exchange with the other processes failed, because another process failed first."""


@dataclass(frozen=True)
class Failure:
    """The failure of a process, and the exit code for all."""

    process: int
    code: int
    words: str

    @classmethod
    def of(cls, error: BaseException, process: int) -> "Failure":
        code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
        return cls(process, code if isinstance(code, int) else 1, f"{type(error).__name__}: {error}")

    @property
    def is_stop(self) -> bool:
        """Whether it was a signal, after which every process saves and exits by itself."""
        return self.code == Stopped.exit_code


class Failures:
    """The first failure of any process, in the store that they share."""

    def __init__(self, store: "Store", process: int) -> None:
        self._store, self.process = store, process

    def first(self) -> Failure | None:
        """The first failure, if any."""
        return _read(self._store.get(_KEY)) if self._store.check([_KEY]) else None

    def tell(self, error: BaseException) -> Failure:
        """Record a failure unless there is an earlier one; gives the first. Does nothing if the store is gone."""
        mine = Failure.of(error, self.process)
        with suppress(RuntimeError):
            return _read(self._store.compare_set(_KEY, "", json.dumps(asdict(mine))))
        return mine


def _read(text: bytes) -> Failure:
    return Failure(**json.loads(text))


def tell_launcher(failure: Failure, error: BaseException, environment: Mapping[str, str] = os.environ) -> None:
    """Write a failure into the file that torch's launchers read, if they name one."""
    if "TORCHELASTIC_ERROR_FILE" in environment:
        about = {"py_callstack": "".join(traceback.format_exception(error)), "timestamp": str(int(time.time()))}
        told = {"message": {"message": failure.words, "errorCode": failure.code, "extraInfo": about}}
        Path(environment["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(told), encoding="utf-8")


@contextmanager
def watching(
    connect: Callable[[], Failures],
    *,
    grace: float = GRACE_SECONDS,
    look: float = _LOOK_SECONDS,
    end: Callable[[int], None] = os._exit,
) -> Iterator[None]:
    """End this process if it is still in this context `grace` seconds after the first failure of any process.

    `connect` gives the thread its own connection to the store, as the main thread may block the other.
    """
    over = threading.Event()

    def follow() -> None:
        with suppress(RuntimeError):  # the store ended with its process or launcher
            look_after(connect())

    def look_after(failures: Failures) -> None:
        while not over.wait(look):
            failure = failures.first()
            if failure is None or failure.is_stop:
                continue
            if not over.wait(grace):
                _log.error(
                    "process %d failed (%s), and this one did not end by itself within %g seconds; ended",
                    failure.process,
                    failure.words,
                    grace,
                )
                end(failure.code)
            return

    thread = threading.Thread(target=follow, name="failures", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LEAVE_SECONDS)
