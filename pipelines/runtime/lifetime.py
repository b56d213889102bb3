"""Processes that end with the one that started them, however that one ends.

A process that starts others becomes their owner: they find it in $DDPM_OWNER, and a thread in each waits for its end
(by a pidfd on Linux; elsewhere it looks twice a second). Then they get SIGTERM, as if the owner had passed it on: a
training saves and leaves. What has not ended after a grace is killed. The owner of a stage of `dvc repro` is DVC.

Programs of others, such as MLflow's server, watch nobody. `guarded` starts a small process that ends them on Linux; it
is this file, run as a script, so only the standard library is imported here.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

OWNER, GUARD = "DDPM_OWNER", "DDPM_GUARD"
GRACE_SECONDS = 60.0  # to save in, before a process whose owner is gone is killed
LOOK_SECONDS = 0.5
_SHELLS = {"sh", "dash", "bash", "zsh", "fish", "ksh", "busybox"}
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process by its number and its beginning, so that another one with the same number is told apart."""

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
        """Return when it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # another system, an old kernel, or there is no such process
            while self.lives():
                time.sleep(LOOK_SECONDS)
            return
        try:
            if self.lives():
                select.select([descriptor], [], [])
        finally:
            os.close(descriptor)


def _began(pid: int) -> str:
    """When a process began, in the system's own words; empty where it has ended (a zombie has)."""
    if _PROC.joinpath("self", "stat").exists():
        fields = _stat(pid)
        return fields[19] if fields and fields[0] not in "ZX" else ""
    return "-".join(_ps("-o", "lstart=", "-p", str(pid)).split())


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: state, parent, ...; empty where there is no such process."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []


def _ps(*words: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(["ps", *words], capture_output=True, text=True, timeout=10).stdout
    return ""


# ------------------------------------------------------------------------------------------------- owner and owned


def own_children() -> None:
    """From now on the processes that this one starts end with it."""
    os.environ[OWNER] = str(Process.of(os.getpid()))


def owner(environment: Mapping[str, str] = os.environ) -> Process | None:
    """The process that this one ends with; None where a user started it."""
    named = Process.parsed(environment.get(OWNER, ""))
    if named is not None and named.pid != os.getpid():
        return named
    return _nearest_but_shells(os.getppid()) if environment.get("DVC_STAGE") else None


def end_with_owner() -> None:
    """Get SIGTERM when the owner ends; at once where it has ended already."""
    found = owner()
    if found is not None:
        end_with(found)


def end_with_parent() -> None:
    """The same for a worker of a pool, which its parent alone speaks to."""
    end_with(Process.of(os.getppid()))


def end_with(other: Process, grace: float = GRACE_SECONDS) -> None:
    """Get SIGTERM when another process ends, and SIGKILL where that does not help."""

    def follow() -> None:
        other.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, name="owner", daemon=True).start()


def _nearest_but_shells(pid: int) -> Process:
    """DVC starts a stage through a shell, which may stay between the two or not."""
    for _ in range(8):
        name, parent = _name_and_parent(pid)
        if name.lstrip("-") not in _SHELLS or parent < 1:
            break
        pid = parent
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
    """Programs of others that are started in here, and what they start, have ended afterwards, or after this process.

    A child of ours is left out by an environment without GUARD. Without /proc this does nothing.
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
    """End the processes that carry the mark of a guard, wherever they are: SIGTERM, then SIGKILL."""
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
    """The processes that were started with this in their environment, but for this one."""
    wanted = f"{name}={value}".encode()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), *spared):
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0") and _began(int(entry.name)):
                    yield int(entry.name)


def main(mark: str) -> None:
    """The guard: wait for the end of the one that is guarded, then end what it left."""
    guarded_one = Process.parsed(mark)
    if guarded_one is not None:
        guarded_one.wait()
        end_guarded(mark, spared=os.getpid())


if __name__ == "__main__":
    main(sys.argv[1])
