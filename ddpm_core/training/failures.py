"""When one process of a training fails, all end: the others are told, and a thread ends what cannot end by itself.

The first failure counts: it is kept in the store where the processes met. The main thread of another process may hear
of it only much later, as while it waits for a GPU that waits for the one that failed. So a thread of each process
looks at the store and, after a grace, ends the process with the exit code of that failure.
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
GRACE_SECONDS = 20.0  # to end by oneself in, after a failure anywhere
_LOOK_SECONDS = 1.0
_LEAVE_SECONDS = 5.0  # for a look that is under way when the work is over


class PeerLost(TryAgain):
    """An exchange with the other processes failed: what happened first happened to another one."""


@dataclass(frozen=True)
class Failure:
    """What ended a process, and the exit code that all end with."""

    process: int
    code: int
    words: str

    @classmethod
    def of(cls, error: BaseException, process: int) -> "Failure":
        code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
        return cls(process, code if isinstance(code, int) else 1, f"{type(error).__name__}: {error}")

    @property
    def is_stop(self) -> bool:
        """Whether it was a signal, after which every process saves and leaves in its own time."""
        return self.code == Stopped.exit_code


class Failures:
    """The first failure of all processes, in a store that they share."""

    def __init__(self, store: "Store", process: int) -> None:
        self._store, self.process = store, process

    def first(self) -> Failure | None:
        """The first failure, if there was any."""
        return _read(self._store.get(_KEY)) if self._store.check([_KEY]) else None

    def tell(self, error: BaseException) -> Failure:
        """Tell the others, unless one was told before; gives the first one. A store that is gone cannot be told."""
        mine = Failure.of(error, self.process)
        with suppress(RuntimeError):
            return _read(self._store.compare_set(_KEY, "", json.dumps(asdict(mine))))
        return mine


def _read(text: bytes) -> Failure:
    return Failure(**json.loads(text))


def tell_launcher(failure: Failure, error: BaseException, environment: Mapping[str, str] = os.environ) -> None:
    """Leave a failure in the file where torch's launchers look for it; where none is named, do nothing."""
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
    """End this process where it is still in here `grace` seconds after the first failure of any.

    `connect` gives the thread a connection of its own to the store, as the main thread may be waiting in the other.
    """
    over = threading.Event()

    def follow() -> None:
        with suppress(RuntimeError):  # the store is gone with its process or launcher: nobody tells any more
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
