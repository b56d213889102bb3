"""What a kill in the middle of writing leaves of DVC's own files, mended where nobody uses them."""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from ddpm_core.errors import TryAgain
from pipelines.runtime.lifetime import ancestors, having

log = logging.getLogger(__name__)


class LockBusy(TryAgain):
    """Another DVC holds the repository and did not let go in time."""


def mend_rwlock(root: Path) -> None:
    """Remove DVC's list of files in use where a kill in the middle of writing damaged it; refuse while it is in use."""
    place = root / ".dvc" / "tmp" / "rwlock"
    if _is_rwlock(place):
        return
    from dvc.lock import LockError, make_lock

    with suppress(LockError), make_lock(str(place.with_name("rwlock.lock")), tmp_dir=str(place.parent)):
        if _is_rwlock(place):  # it was being written
            return
        users = [pid for pid in having("DVC_ROOT", str(root)) if pid not in ancestors(os.getpid())]
        if users:
            raise LockBusy(
                f"{place} must list the files in use, but it is damaged, and process {users[0]} still works in {root}. "
                "Wait for it or stop it, then run again"
            )
        place.unlink()
        log.warning("removed %s: it was damaged, as by a kill in the middle of writing; nobody was using it", place)


def _is_rwlock(place: Path) -> bool:
    """Whether the file is what DVC will read, or is not there."""
    try:
        value = json.loads(place.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return isinstance(value, dict) and all(isinstance(part, dict) for part in value.values())


def set_aside(lock: Path, damaged: str) -> bool:
    """Put a dvc.lock that a kill left half written out of the way: what DVC ran before lies in its cache of runs."""
    if Path(damaged).name != lock.name or not lock.is_file():
        return False
    kept = lock.parent / ".dvc" / "tmp" / "dvc.lock.damaged"
    os.replace(lock, kept)
    log.warning(
        "%s was damaged, as by a kill in the middle of writing; it is now %s. DVC restores what had run; "
        "`git checkout dvc.lock` brings back the one that was committed",
        lock,
        kept,
    )
    return True
