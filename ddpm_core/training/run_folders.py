"""The folders of all trainings, each under the digest of what its bits depend on: told apart, held by one, swept.

An identity is JSON of some depth: parameters, data, code files, versions. Another identity is another training and
begins anew; what is different is said. Threads are none of it: a training keeps those that it began with. A folder
holds its identity in `training.json`, beside its checkpoints.
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
PATIENCE_SECONDS = 60.0  # for another process with the same training: one whose owner was killed saves and leaves
_LOOK_SECONDS = 0.2
_NAMED = 4  # differences that are named; the others are counted

Identity = Mapping[str, Any]
ThreadsByStep = list[list[int]]
"""[step, threads], in order: after that step, updates were done with so many threads."""


def key_of(identity: Identity) -> str:
    """The digest of an identity."""
    return sha256_bytes(json_bytes(identity))


@dataclass(frozen=True)
class Shelf:
    """All trainings of a home; `keep` others stay beside the one that runs."""

    folder: Path
    keep: int

    def place(self, identity: Identity) -> Path:
        """Where the checkpoints of this training lie."""
        return self.folder / key_of(identity)[:32]

    @contextmanager
    def held(
        self,
        identity: Identity,
        machine: str,
        *,
        patience: float = PATIENCE_SECONDS,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Path]:
        """The folder of a training, which no other process has meanwhile; older ones of others go.

        `machine` is said where a training goes on on another one, for its kernels may round otherwise. Another process
        that has the folder is waited for.
        """
        place = self.place(identity)
        place.mkdir(parents=True, exist_ok=True)
        with _own(place, patience, should_stop):
            self._compare(place, json.loads(json_bytes(identity)), machine)
            about = {"identity": identity, "machine": machine, "threads": self.threads(identity)}
            atomic_write_json(place / _ABOUT, about)
            self._sweep(place)
            yield place

    def threads(self, identity: Identity) -> ThreadsByStep:
        """With how many threads a training that can go on was done so far; nothing where it begins."""
        place = self.place(identity)
        told = _about(place).get("threads", []) if Checkpoints(place, 1).steps() else []
        return told if isinstance(told, list) else []

    def goes_on(self, identity: Identity, step: int, threads: int) -> ThreadsByStep:
        """Write down with how many threads the training goes on after a step, which it has reached; all so far."""
        place = self.place(identity)
        told = [entry for entry in self.threads(identity) if entry[0] < step]
        if not told or told[-1][1] != threads:
            told.append([step, threads])
        atomic_write_json(place / _ABOUT, {**_about(place), "threads": told})
        return told

    def _compare(self, place: Path, identity: Identity, machine: str) -> None:
        if Checkpoints(place, 1).steps():
            before = _about(place).get("machine", machine)
            if before != machine:
                _log.warning(
                    "this training began on %s and goes on on %s: it is the same in all else, but its last bits may "
                    "differ from those of a training that was not moved",
                    before,
                    machine,
                )
            return
        others = self._others(place)
        if others:
            old = _about(others[0]).get("identity", {})
            changes = differences(old, identity) if old else ["an older version of this software"]
            rest = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
            _log.info(
                "the newest checkpoint is of another training (step %d), which differs in %s%s; this one begins anew",
                Checkpoints(others[0], 1).steps()[-1],
                "; ".join(changes[:_NAMED]),
                rest,
            )

    def _others(self, own: Path) -> list[Path]:
        """The folders of other trainings that were interrupted and have a checkpoint, the newest first."""
        found = []
        for place in self.folder.iterdir():
            steps = Checkpoints(place, 1).steps() if place != own else []
            if steps and not (place / _FINISHED).exists():
                with suppress(FileNotFoundError, ValueError):  # another process swept it meanwhile
                    found.append((max(entry.stat().st_mtime_ns for entry in place.glob("step-*")), place.name, place))
        return [place for _, _, place in sorted(found, reverse=True)]

    def _sweep(self, own: Path) -> None:
        """Other trainings go, but for the newest `keep` that were interrupted and those that a process holds."""
        staying = {own, *self._others(own)[: self.keep]}
        swept = 0
        for place in sorted(self.folder.iterdir()):
            if not place.is_dir():
                continue
            with _locked(place) as free:
                if free and place != own:
                    for part in place.glob(".*.part"):
                        shutil.rmtree(part, ignore_errors=True)
                if free and place not in staying:
                    swept += bool(Checkpoints(place, 1).steps()) and not (place / _FINISHED).exists()
                    shutil.rmtree(place, ignore_errors=True)
        if swept:
            _log.info(
                "removed the checkpoints of %d other training%s; the newest %d others are kept",
                swept,
                "s" * (swept > 1),
                self.keep,
            )


def differences(old: Identity, new: Identity) -> list[str]:
    """What is not the same in two identities: dotted keys with both values, files by name alone."""
    return [
        where if _is_digest(one) or _is_digest(other) else f"{where} ({_short(one)} before, {_short(other)} now)"
        for where, one, other in unequal(old, new)
    ]


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def _short(value: Any) -> str:
    return (
        "none"
        if value is None or value is ABSENT
        else json.dumps(value)
        if isinstance(value, list | dict)
        else str(value)
    )


def _about(place: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        value = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return {}


def finish(place: Path, outputs: Mapping[str, str]) -> None:
    """A training came to its end: keep its last checkpoint, and the digests of what was made of it.

    Whoever lost the outputs finds them again by it; the next training of another identity removes it.
    """
    for step in (checkpoints := Checkpoints(place, 1)).steps()[:-1]:
        shutil.rmtree(checkpoints.place(step), ignore_errors=True)
    atomic_write_json(place / _FINISHED, outputs)


def outputs_of(place: Path) -> dict[str, str] | None:
    """What `finish` was told of a training; None where it did not come to its end."""
    with suppress(OSError, ValueError):
        value = json.loads((place / _FINISHED).read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return None


def begin_anew(place: Path) -> None:
    """Forget a finished training, whose folder this process holds."""
    Checkpoints(place, 1).remove_all()
    (place / _FINISHED).unlink(missing_ok=True)


@contextmanager
def _own(place: Path, patience: float, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Hold the folder; where another process does, wait for it, and say which one."""
    end, said = time.monotonic() + patience, False
    while True:
        place.mkdir(parents=True, exist_ok=True)  # a process that sweeps took it for one that nobody wants
        with _locked(place) as mine:
            if mine:
                yield
                return
        if should_stop():
            raise Stopped("stopped by a signal before the training began; nothing was to save")
        if time.monotonic() >= end:
            raise TryAgain(
                f"a training must be run by one process, but {_holder(place)} has {place} open and did not leave "
                f"within {patience:.0f} s; wait for it or stop it, then run again"
            )
        if not said:
            _log.info("%s is at this training; waiting for it", _holder(place))
            said = True
        time.sleep(_LOOK_SECONDS)


def _holder(place: Path) -> str:
    """Who holds a folder, as that one wrote into the lock."""
    with suppress(OSError, ValueError):
        pid, host = (place / _LOCK).read_text(encoding="utf-8").split()
        return f"process {int(pid)}" + ("" if host == socket.gethostname() else f" of {host}")
    return "another process"


@contextmanager
def _locked(place: Path) -> Iterator[bool]:
    """Whether the folder is ours for now; the lock goes with the process, however that ends.

    It is not ours if another process sweeps it meanwhile: a lock on a removed file keeps nobody out.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context((place / _LOCK).open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), (place / _LOCK).stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if mine:
            _sign(file)
        yield mine


def _sign(file: TextIO) -> None:
    with suppress(OSError):  # a full disk: who holds the lock is then not told
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}\n")
        file.flush()
