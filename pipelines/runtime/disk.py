"""Errors of the disk as one message: which file, why, and how to mend it."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

_MENDED_BY = {
    errno.ENOSPC: "make room there{free}",
    errno.EDQUOT: "make room there, or raise the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give yourself the right to it",
    errno.EPERM: "give yourself the right to it",
    errno.EIO: "check the disk in the system's log (dmesg)",
    errno.ENOTDIR: "remove the file at the path that must be a folder",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENAMETOOLONG: "shorten the name, or move the project to a shorter path",
}


def told(error: OSError) -> str | None:
    """The message for an error of the disk; None for any other error, which is a bug."""
    how = _MENDED_BY.get(error.errno or 0)
    if how is None:
        return None
    place = error.filename2 or error.filename
    where = os.fsdecode(place) if isinstance(place, str | bytes) else "a file"
    return (
        f"{where}: must be read or written, but: {error.strerror}; {how.format(free=_free(where))}{_elsewhere(where)}. "
        "What was written before is complete; run again to resume"
    )


def _free(where: str) -> str:
    for folder in Path(where).absolute().parents:
        if folder.is_dir():
            return f" ({shutil.disk_usage(folder).free / 1e6:.0f} MB are free in {folder})"
    return ""


def _elsewhere(where: str) -> str:
    """The state folder can be on any disk."""
    home = os.environ.get("DDPM_HOME", ".ddpm")
    return ", or set DDPM_HOME to a folder on another disk" if home in where else ""


def damaged(path: Path, *, whole: bool = True) -> str | None:
    """The damage of a file that must be an sqlite database; None if there is none, or no such file yet.

    `whole` checks every page, else only the first ones.
    """
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as database:
            if not whole:
                database.execute("select count(*) from sqlite_master").fetchone()
                return None
            (said,) = database.execute("pragma quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # busy, or not readable: see `unwritable`
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if said == "ok" else str(said)


def unwritable(path: Path) -> str | None:
    """Why an sqlite database cannot be written; None if it can, or if another process writes now."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=5.0)) as database:
            database.execute("begin immediate")
            database.rollback()
    except OSError as error:
        return error.strerror
    except sqlite3.OperationalError as error:
        return None if "locked" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return None


def sqlite_file(uri: str) -> Path | None:
    """The file of an sqlite store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def damaged_store(file: Path, fault: str) -> tuple[str, str]:
    """What is wrong with MLflow's database, and how to mend it."""
    return (
        f"The MLflow store {file} must be an intact sqlite database, but it is damaged ({fault}).",
        f"Move it away (mv {file} {file}.damaged) and run again: a new one is made and gets the run of the present "
        f"outputs. `sqlite3 {file}.damaged .recover` may save older runs; a backup restores all.",
    )
