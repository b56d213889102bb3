"""One directory per training, named by the digest of its identity and locked by one process; old ones are pruned.

An identity is nested JSON of all that the bits of a training depend on: parameters, data, code files, versions. A
different identity is a different training: it starts from scratch, and the log names the difference. The number of
threads is no part of it, as a training keeps the number it started with. `training.json` in the directory, beside the
checkpoints, holds the identity.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ddpm_core.diff import ABSENT, unequal
from ddpm_core.errors import Stopped, TryAgain
from ddpm_core.files import atomic_write_json, json_bytes, sha256_bytes
from ddpm_core.training.checkpoint import Checkpoints

_log = logging.getLogger(__name__)
_ABOUT, _LOCK, _FINISHED = "training.json", ".lock", "finished.json"
PATIENCE_SECONDS = 60.0  # for a process that runs the same training: after a signal it needs time to save and exit
_POLL_SECONDS = 0.2
_NAMED = 4  # differences that the log names; it counts the others

Identity = Mapping[str, Any]
ThreadsByStep = list[list[int]]
"""[step, threads], in order: the number of threads of the updates after that step."""


def key_of(identity: Identity) -> str:
    """The digest of an identity."""
    return sha256_bytes(json_bytes(identity))


@dataclass(frozen=True)
class RunFolders:
    """The directories of all trainings; pruning keeps `keep` interrupted ones beside the current one."""

    root: Path
    keep: int

    def folder(self, identity: Identity) -> Path:
        """The directory of this training's checkpoints."""
        return self.root / key_of(identity)[:32]

    @contextmanager
    def locked(
        self,
        identity: Identity,
        machine: str,
        *,
        patience: float = PATIENCE_SECONDS,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Path]:
        """Lock a training's directory, prune the others and give its path.

        Waits up to `patience` seconds for another process that has the lock. Warns if the training began on another
        `machine`, as its kernels may round differently.
        """
        folder = self.folder(identity)
        with _wait_for_lock(folder, patience, should_stop):
            self._compare(folder, json.loads(json_bytes(identity)), machine)
            about = {"identity": identity, "machine": machine, "threads": self.threads(identity)}
            atomic_write_json(folder / _ABOUT, about)
            self._prune(folder)
            yield folder

    def threads(self, identity: Identity) -> ThreadsByStep:
        """The numbers of threads so far; empty for a training without a checkpoint."""
        folder = self.folder(identity)
        known = _about(folder).get("threads", []) if Checkpoints(folder, 1).steps() else []
        return known if isinstance(known, list) else []

    def record_threads(self, identity: Identity, step: int, threads: int) -> ThreadsByStep:
        """Record the number of threads from `step` on; gives all numbers so far."""
        folder = self.folder(identity)
        known = [entry for entry in self.threads(identity) if entry[0] < step]
        if not known or known[-1][1] != threads:
            known.append([step, threads])
        atomic_write_json(folder / _ABOUT, {**_about(folder), "threads": known})
        return known

    def _compare(self, folder: Path, identity: Identity, machine: str) -> None:
        """Log what differs from the run before: the machine of this training, or the newest other training."""
        if Checkpoints(folder, 1).steps():
            before = _about(folder).get("machine", machine)
            if before != machine:
                _log.warning(
                    "this training began on %s and continues on %s: its last bits may differ from those of a training "
                    "that stayed on one machine",
                    before,
                    machine,
                )
            return
        others = self._others(folder)
        if others:
            old = _about(others[0]).get("identity", {})
            changes = differences(old, identity) if old else ["an older version of this software"]
            rest = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
            _log.info(
                "the newest checkpoint is of another training (step %d), which differs in %s%s; this one starts from "
                "scratch",
                Checkpoints(others[0], 1).steps()[-1],
                "; ".join(changes[:_NAMED]),
                rest,
            )

    def _others(self, own: Path) -> list[Path]:
        """The directories of other interrupted trainings with a checkpoint, newest first."""
        found = []
        for folder in self.root.iterdir():
            steps = Checkpoints(folder, 1).steps() if folder != own else []
            if steps and not (folder / _FINISHED).exists():
                with suppress(FileNotFoundError, ValueError):  # another process has just pruned it
                    newest = max(entry.stat().st_mtime_ns for entry in folder.glob("step-*"))
                    found.append((newest, folder.name, folder))
        return [folder for _, _, folder in sorted(found, reverse=True)]

    def _prune(self, own: Path) -> None:
        """Remove other trainings, except the newest `keep` interrupted ones and those that a process has locked."""
        kept = {own, *self._others(own)[: self.keep]}
        pruned = 0
        for folder in sorted(self.root.iterdir()):
            if not folder.is_dir():
                continue
            with _try_lock(folder) as free:
                if free and folder != own:
                    for part in folder.glob(".*.part"):
                        shutil.rmtree(part, ignore_errors=True)
                if free and folder not in kept:
                    pruned += bool(Checkpoints(folder, 1).steps()) and not (folder / _FINISHED).exists()
                    shutil.rmtree(folder, ignore_errors=True)
        if pruned:
            _log.info("removed the checkpoints of %d other training(s); the newest %d are kept", pruned, self.keep)


def differences(old: Identity, new: Identity) -> list[str]:
    """What two identities differ in: dotted keys with both values, files by name alone."""
    return [
        where if _is_digest(one) or _is_digest(other) else f"{where} ({_short(one)} before, {_short(other)} now)"
        for where, one, other in unequal(old, new)
    ]


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def _short(value: Any) -> str:
    if value is None or value is ABSENT:
        return "none"
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none."""
    with suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return None


def _about(folder: Path) -> dict[str, Any]:
    return _read(folder / _ABOUT) or {}


def finish(folder: Path, outputs: Mapping[str, str]) -> None:
    """Mark a training as finished: keep its last checkpoint and the digests of its outputs.

    Lost outputs can be written again from that checkpoint. The next training of another identity removes it.
    """
    for step in (checkpoints := Checkpoints(folder, 1)).steps()[:-1]:
        shutil.rmtree(checkpoints.place(step), ignore_errors=True)
    atomic_write_json(folder / _FINISHED, outputs)


def outputs_of(folder: Path) -> dict[str, str] | None:
    """The digests that `finish` recorded; None for a training that is not finished."""
    return _read(folder / _FINISHED)


def start_over(folder: Path) -> None:
    """Forget a finished training, whose directory this process has locked."""
    Checkpoints(folder, 1).remove_all()
    (folder / _FINISHED).unlink(missing_ok=True)


@contextmanager
def _wait_for_lock(folder: Path, patience: float, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Lock the directory. If another process has the lock, name it and wait."""
    end, logged = time.monotonic() + patience, False
    while True:
        folder.mkdir(parents=True, exist_ok=True)  # each time, as another process may have pruned it
        with _try_lock(folder) as mine:
            if mine:
                yield
                return
        if should_stop():
            raise Stopped("stopped by a signal before the training began; there was nothing to save")
        if time.monotonic() >= end:
            raise TryAgain(
                f"a training must be run by one process, but {_holder(folder)} has {folder} locked and did not release "
                f"it within {patience:.0f} s; wait for it or stop it, then run again"
            )
        if not logged:
            _log.info("%s runs this training; waiting for it", _holder(folder))
            logged = True
        time.sleep(_POLL_SECONDS)


def _holder(folder: Path) -> str:
    """The process that has the lock, as it wrote into the lock file."""
    with suppress(OSError, ValueError):
        pid, host = (folder / _LOCK).read_text(encoding="utf-8").split()
        return f"process {int(pid)}" + ("" if host == socket.gethostname() else f" of {host}")
    return "another process"


@contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    """Whether this process has the lock now; the system releases it when the process ends, however that happens.

    A lock on a file that another process has just pruned does not count: it would keep nobody out.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context((folder / _LOCK).open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), (folder / _LOCK).stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if mine:
            _sign(file)
        yield mine


def _sign(file: TextIO) -> None:
    with suppress(OSError):  # if the disk is full, the lock file does not name its process
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}\n")
        file.flush()
