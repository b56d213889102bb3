"""Atomic writes, and digests of files.

A file is written under a temporary name in its own folder, flushed to disk, and renamed; then the folder is flushed. A
reader sees the old bytes or the new ones, never a part.
"""

import ctypes
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_MANY = 256  # files; for more of them one sync of everything is faster than one for each
_WORKING_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def sha256_bytes(data: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def json_bytes(value: Any) -> bytes:
    """The canonical JSON text of a value: sorted keys, no NaN, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as an .npz; numpy gives each member one fixed date, so equal arrays have equal bytes."""
    import numpy as np  # on demand: most commands that write files need no numpy

    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add this file name to an error of the system without one, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_path(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A temporary path to write to; on success it is flushed and renamed to `path`, on failure removed.

    It never has more rights than `mode`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        with _naming(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write bytes atomically."""
    with atomic_path(path, mode) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path, text: str) -> None:
    """Write text in UTF-8 atomically."""
    atomic_write_bytes(path, text.encode())


def atomic_write_json(path: Path, value: Any) -> None:
    """Write a value as `json_bytes` atomically."""
    atomic_write_bytes(path, json_bytes(value))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; on success its files are flushed and it replaces `path`.

    A reader sees the old folder or the new one, and so does whoever comes after a kill: Linux exchanges the two names
    in one step. Where the system or the file system cannot, the old folder is renamed aside first, and between the two
    renames there is neither. What a killed process left beside `path` is removed by the next write of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.parent):
        _remove_left_behind(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        owned = os.open(temporary, os.O_RDONLY)
        _flock(owned)  # while this process lives, it is not left behind
    try:
        with _naming(path):
            yield temporary
            _sync_tree(temporary)
            os.chmod(temporary, 0o755)
            with _lock(path.parent):
                _replace_folder(temporary, path)
                sync_folder(path.parent)
                _remove_left_behind(path, aside=True)
    finally:
        os.close(owned)
        shutil.rmtree(temporary, ignore_errors=True)  # the old folder, if the names were exchanged


def _replace_folder(new: Path, path: Path) -> None:
    if not path.exists():
        os.replace(new, path)
        return
    if path.is_symlink() or not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if _exchange(new, path):
        return
    aside = new.with_suffix(".old.part")
    try:
        os.replace(path, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.rmtree(path)  # a folder of a lower layer of an overlay cannot be renamed
    try:
        os.replace(new, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.replace(aside, path)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, where the system and the file system can."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = (_WORKING_FOLDER, os.fsencode(one), _WORKING_FOLDER, os.fsencode(other))
    return rename is not None and rename(*names, _EXCHANGE) == 0


def _remove_left_behind(path: Path, *, aside: bool = False) -> None:
    """Remove the temporary folders of dead processes that wrote `path`; with `aside`, an old one put aside too.

    The one put aside may be all that a kill left of `path`; it stays until a new folder is in place.
    """
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]+{'(.old)?' if aside else ''}\.part")
    for place in path.parent.iterdir():
        if ours.fullmatch(place.name) and place.is_dir():
            with suppress(OSError):
                descriptor = os.open(place, os.O_RDONLY)
                try:
                    if _flock(descriptor):
                        shutil.rmtree(place, ignore_errors=True)
                finally:
                    os.close(descriptor)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make and look for temporary folders in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: then nothing is taken for left behind either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    """Lock without waiting; False if another process holds it, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync_tree(folder: Path) -> None:
    tree = list(os.walk(folder))
    if sum(len(names) for _, _, names in tree) > _MANY:
        os.sync()
        return
    for place, _, names in tree:
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))
