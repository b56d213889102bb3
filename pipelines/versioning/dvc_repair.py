"""Repairs DVC's own files after a kill in the middle of a write, if no process uses them."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ddpm_core.errors import TryAgain
from pipelines.runtime.lifetime import ancestors, having, started

log = logging.getLogger(__name__)


class LockBusy(TryAgain):
    """Another DVC process has the repository locked and did not release it in time."""


def mend_rwlock(root: Path) -> None:
    """Remove DVC's list of files in use if a kill damaged it; refuse while a process uses it."""
    place = root / ".dvc" / "tmp" / "rwlock"
    if _is_rwlock(place):
        return
    from dvc.lock import LockError, make_lock

    with suppress(LockError), make_lock(str(place.with_name("rwlock.lock")), tmp_dir=str(place.parent)):
        if _is_rwlock(place):  # it was just being written
            return
        users = [pid for pid in having("DVC_ROOT", str(root)) if pid not in ancestors(os.getpid())]
        if users:
            raise LockBusy(
                f"{place} must list the files in use, but it is damaged, and process {users[0]} still works in {root}. "
                "Wait for it or stop it, then run again"
            )
        place.unlink()
        log.warning(
            "removed %s: it was damaged, probably by a kill in the middle of a write; no process was using it", place
        )


def holder(root: Path) -> str:
    """The process that has the repository locked, and since when it runs, as far as its files say so."""
    pids = [*_in_use_by(root / ".dvc" / "tmp" / "rwlock"), *_pid_in(root / ".dvc" / "tmp" / "lock")]
    for pid in pids:
        since = started(pid) if pid != os.getpid() else None
        if since is not None:
            return f"process {pid} (since {since:%H:%M:%S})"
    return "another DVC process"


def _in_use_by(rwlock: Path) -> Iterator[int]:
    """The processes in DVC's list of files in use, the writers first."""
    with suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
        listed = json.loads(rwlock.read_bytes())
        for each in listed.get("write", {}).values():
            yield int(each["pid"])
        for several in listed.get("read", {}).values():
            yield from (int(each["pid"]) for each in several)


def _pid_in(lock: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):
        yield int(lock.read_text().split()[0])


def _is_rwlock(place: Path) -> bool:
    """Whether DVC can read the file, or there is none."""
    try:
        value = json.loads(place.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return isinstance(value, dict) and all(isinstance(part, dict) for part in value.values())


def set_aside(lock: Path, damaged: str) -> bool:
    """Move an incomplete dvc.lock away after a kill: DVC's run cache has the earlier runs."""
    if Path(damaged).name != lock.name or not lock.is_file():
        return False
    kept = lock.parent / ".dvc" / "tmp" / "dvc.lock.damaged"
    os.replace(lock, kept)
    log.warning(
        "%s was damaged, probably by a kill in the middle of a write; it is now %s. DVC restores finished stages; "
        "`git checkout dvc.lock` restores the committed one",
        lock,
        kept,
    )
    return True
