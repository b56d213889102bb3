"""Finished partitions, kept under the digest of all that they were made from, so that no work is done twice.

A store is no output: it lies in `$DDPM_HOME/partitions`, may be removed at any time, and what it holds is a function of
its key alone. A run that was killed finds there what it had finished, and one with new data all that did not change.

    with open_store(folder) as (store, used):
        place = store.find(key)                       # None where it is not there, or damaged
        if place is None:
            with store.adding(key) as temporary: ...  # write files into this folder
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ddpm_core.files import atomic_folder, atomic_write_json, sha256_bytes, sha256_file

_DIGESTS = "digests.json"
_LOCK = ".lock"


@dataclass(frozen=True)
class PartitionStore:
    """A folder for each partition. It travels to the processes that do the work."""

    folder: Path

    def find(self, key: str) -> Path | None:
        """The folder of a finished partition, if every file in it is as it was written."""
        place = self.folder / key
        try:
            digests = json.loads((place / _DIGESTS).read_bytes())
            whole = all(sha256_file(place / name) == digest for name, digest in digests.items())
        except (OSError, ValueError, AttributeError):
            return None
        return place if whole else None

    def keys(self) -> set[str]:
        """Of all partitions that are there."""
        return {place.name for place in self.folder.iterdir()}

    @contextmanager
    def adding(self, key: str) -> Iterator[Path]:
        """A temporary folder that becomes this partition's when the block ends."""
        with atomic_folder(self.folder / key) as temporary:
            yield temporary
            digests = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
            atomic_write_json(temporary / _DIGESTS, digests)


@contextmanager
def open_store(folder: Path) -> Iterator[tuple[PartitionStore, set[str]]]:
    """A store, and a set for the keys that are used. At the end of a stage that did not fail all others go, unless a
    second process has the store open."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        used: set[str] = set()
        yield PartitionStore(folder), used
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for place in folder.iterdir():
                if place.name not in used and place.name != _LOCK:
                    shutil.rmtree(place, ignore_errors=True)


def code_digest(files: Iterable[Path], packages: Iterable[str]) -> str:
    """Of the code that makes a partition: a part of its key, so that no other version's work is taken for one's own."""
    digests = [sha256_file(file) for file in sorted(files)]
    return sha256_bytes(repr((digests, [(name, version(name)) for name in packages])).encode())


def place_file(source: Path, target: Path) -> None:
    """The file under a second name, or a copy where the file system has no second names; it is never written to."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
