"""Child processes that end with their parent, however it ends.

A process that starts others is their owner: they read it from $DDPM_OWNER, and a thread in each waits for its end (with
a pidfd on Linux; elsewhere it checks twice a second). Then it sends SIGTERM to its own process, so that a training
saves and exits; after a grace period it kills it. The owner of a stage of `dvc repro` is DVC. Other programs, such as
MLflow's server, do not watch an owner. `guarded` starts a small process that ends them on Linux; it is this file, run
as a script, so this file imports only the standard library.
"""

import atexit
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

OWNER, GUARD = "DDPM_OWNER", "DDPM_GUARD"
GRACE_SECONDS = 60.0  # time to save, before a process without its owner is killed
LOOK_SECONDS = 0.5
_SHELLS = {"sh", "dash", "bash", "zsh", "fish", "ksh", "busybox"}
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process by its id and start time, so that a later process with the same id is not mistaken for it."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        return cls(pid, _began(pid))

    @classmethod
    def parsed(cls, text: str) -> "Process | None":
        pid, _, began = text.partition(".")
        return cls(int(pid), began) if pid.isdigit() else None

    def __str__(self) -> str:
        return f"{self.pid}.{self.began}"

    def lives(self) -> bool:
        began = _began(self.pid)
        return bool(began) and began == self.began

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # another system, an old kernel, or no such process
            while self.lives():
                time.sleep(LOOK_SECONDS)
            return
        try:
            if self.lives():
                select.select([descriptor], [], [])
        finally:
            os.close(descriptor)


def _began(pid: int) -> str:
    """The start time of a process as the system gives it; empty if it has ended (or is a zombie)."""
    if _PROC.joinpath("self", "stat").exists():
        fields = _stat(pid)
        return fields[19] if fields and fields[0] not in "ZX" else ""
    return "-".join(_ps("-o", "lstart=", "-p", str(pid)).split())


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: state, parent, ...; empty if there is no such process."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []


def _ps(*words: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(["ps", *words], capture_output=True, text=True, timeout=10).stdout
    return ""


# ------------------------------------------------------------------------------------------------- owner and owned


def own_children() -> None:
    """Make processes that this one starts from now on end with it."""
    os.environ[OWNER] = str(Process.of(os.getpid()))


def end_quickly() -> None:
    """End this process without the search for cycles, which takes a second or more where torch is loaded."""
    atexit.register(_end)


def _end() -> None:
    gc.freeze()
    if "triton._C.libtriton" in sys.modules:  # it would report, at length, what the search would have freed
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def owner(environment: Mapping[str, str] = os.environ) -> Process | None:
    """The process that this one ends with; None if a user started it."""
    named = Process.parsed(environment.get(OWNER, ""))
    if named is not None and named.pid != os.getpid():
        return named
    return _parent(but=_SHELLS) if environment.get("DVC_STAGE") else None


def end_with_owner() -> None:
    """Send SIGTERM to this process when its owner ends; at once if it has ended already."""
    found = owner()
    if found is not None:
        end_with(found)


def end_with_parent() -> None:
    """The same for a worker of a pool or of Prefect, whose owner is its parent."""
    end_with(_parent())


def end_with(other: Process, grace: float = GRACE_SECONDS) -> None:
    """Send SIGTERM to this process when another one ends, and SIGKILL after the grace period."""

    def follow() -> None:
        other.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, name="owner", daemon=True).start()


def _parent(but: Collection[str] = ()) -> Process:
    """The nearest ancestor with another name. DVC starts a stage with a shell, which may or may not remain between.

    A parent that has ended already is replaced by a process of another session, such as init: that is none of ours.
    """
    pid = os.getppid()
    for _ in range(8):
        name, above = _name_and_parent(pid)
        if name.lstrip("-") not in but or above < 1:
            break
        pid = above
    with suppress(OSError):
        if os.getsid(0) not in (os.getpid(), os.getsid(pid)):
            return Process(pid, "of another session")
    return Process.of(pid)


def _name_and_parent(pid: int) -> tuple[str, int]:
    if fields := _stat(pid):
        with suppress(OSError):
            return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip(), int(fields[1])
    parent, _, name = _ps("-o", "ppid=,comm=", "-p", str(pid)).strip().partition(" ")
    return os.path.basename(name.strip()), int(parent) if parent.isdigit() else 0


def ancestors(pid: int) -> list[int]:
    """A process, its parent, and so on."""
    found: list[int] = []
    while pid > 0 and pid not in found:
        found.append(pid)
        pid = _name_and_parent(pid)[1]
    return found


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _parents() -> Iterator[tuple[int, int]]:
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()] if _PROC.is_dir() else []
    for pid in pids:
        if fields := _stat(pid):
            yield pid, int(fields[1])
    if not pids:
        for line in _ps("-A", "-o", "pid=,ppid=").splitlines():
            pid_text, parent_text = line.split()
            yield int(pid_text), int(parent_text)


def command_of(pid: int) -> bytes:
    """The command line of a process; empty if it has ended."""
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes()
    return b""


# --------------------------------------------------------------------------------------------- programs of others


@contextmanager
def guarded() -> Iterator[None]:
    """End other programs that were started in this context, and their children, at its end or when this process ends.

    A child with an environment without GUARD is excluded. Without /proc this does nothing.
    """
    me = str(Process.of(os.getpid()))
    os.environ[GUARD] = me
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    guard = subprocess.Popen([sys.executable, "-S", __file__, me], start_new_session=True, **quiet)  # type: ignore[call-overload]
    try:
        yield
    finally:
        del os.environ[GUARD]
        end_guarded(me, spared=guard.pid)
        guard.kill()
        guard.wait()


def end_guarded(mark: str, spared: int, patience: float = 3.0) -> None:
    """End all processes with a guard's mark in their environment: SIGTERM, then SIGKILL."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
        end = time.monotonic() + seconds
        found = list(having(GUARD, mark, spared))
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while found and time.monotonic() < end:
            time.sleep(0.05)
            found = [pid for pid in found if _began(pid)]


def having(name: str, value: str, *spared: int) -> Iterator[int]:
    """The processes with this in their environment, except this one."""
    wanted = f"{name}={value}".encode()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), *spared):
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0") and _began(int(entry.name)):
                    yield int(entry.name)


def started(pid: int) -> datetime | None:
    """When a process began, by this machine's clock; None where there is none, or the system does not say."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        ticks = int(_stat(pid)[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return datetime.fromtimestamp(time.time() - age)
    return None


def main(mark: str) -> None:
    """The guard process: wait for the end of the guarded one, then end its remaining programs."""
    guarded_one = Process.parsed(mark)
    if guarded_one is not None:
        guarded_one.wait()
        end_guarded(mark, spared=os.getpid())


if __name__ == "__main__":
    main(sys.argv[1])
