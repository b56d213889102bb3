"""Pictures behind a URL, by fsspec: a file or a folder is copied once into `$DDPM_HOME/sources` under its digest.

DVC cannot watch a URL, so it watches a record: a small JSON file with the URL and the SHA-256 that its bytes must have.
"""

import errno
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.checks import Checks, Config, positive
from ddpm_core.errors import DataError, Unreachable
from ddpm_core.files import atomic_folder, sha256_file
from pipelines.kinds.facts import SourceFacts
from pipelines.kinds.pictures.rows.rules import Listing, Rules
from pipelines.kinds.pictures.sources.hugging_face import HuggingFace
from pipelines.kinds.pictures.sources.image_folder import ImageFolder
from pipelines.kinds.pictures.sources.picture_table import PictureTable
from pipelines.kinds.pictures.sources.tar_files import store_of
from pipelines.kinds.pictures.sources.webdataset_shards import WebDataset

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CopiedSource = ImageFolder | PictureTable | HuggingFace | WebDataset

_CHUNK = 1 << 20
_GIGABYTE = 1_000_000_000
_VERSION = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "generation", "md5Hash", "created")


@dataclass(frozen=True)
class Remote(Config):
    """`path` is the record; `read_as` says how the copy is read, with a path inside of it."""

    kind: Literal["remote"]
    path: str
    max_gigabytes: float
    read_as: CopiedSource

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "a JSON file with url and sha256"),
        "max_gigabytes": positive,
    }

    def faults(self) -> list[str]:
        path = PurePosixPath(self.read_as.path)
        if path.is_absolute() or ".." in path.parts:
            return [f"read_as.path: must be a path inside of what the URL names ('.': all of it), got {path}"]
        return []

    def rules(self) -> Rules:
        return self.read_as.rules()

    def facts(self) -> SourceFacts:
        return self.read_as.facts()

    def listing(self, root: Path) -> Listing:
        record = root / self.path
        url, sha256 = read_record(record)
        store = store_of(root)
        copy = None if sha256 is None else store / sha256
        if copy is None or not copy.is_dir() or digest_of(copy) != sha256:
            came = fetch(url, store, int(self.max_gigabytes * _GIGABYTE), sha256)
            if sha256 is None:
                raise DataError(
                    f"source.path: {record} must say which bytes are meant; if {url} is as it should be now, add "
                    f'"sha256": "{came}"'
                )
            copy = store / sha256
        return replace(self.read_as, path=str(inside(copy) / self.read_as.path)).listing(root)


def inside(copy: Path) -> Path:
    """Of a URL of one file the copy is a folder with it alone."""
    names = list(copy.iterdir())
    return names[0] if len(names) == 1 and names[0].is_file() else copy


def read_record(path: Path) -> tuple[str, str | None]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        url, sha256 = record["url"], record.get("sha256")
    except FileNotFoundError as error:
        raise DataError(f"source.path: {path} must be a JSON file with url and sha256, but it was not found") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"source.path: {path} must be a JSON file with url and sha256, but {error!r}") from error
    is_digest = isinstance(sha256, str) and len(sha256) == 64 and not set(sha256) - set("0123456789abcdef")
    if not isinstance(url, str) or not (sha256 is None or is_digest):
        raise DataError(f"source.path: {path} must have a text url, and sha256 in 64 hex digits or null, got {record}")
    return url, sha256


def fetch(url: str, store: Path, most: int, sha256: str | None) -> str:
    """Copy what a URL names to `store`/<digest>; give the digest. DataError where it is another than `sha256`."""
    scratch = store / "fetched"
    try:
        with atomic_folder(scratch) as folder:
            _copy(url, folder, most)
            came = digest_of(folder)
            if sha256 not in (None, came):
                raise DataError(
                    f"source.path: {url} must have the SHA-256 {sha256} of the record, but what came has {came}; if "
                    "the new bytes are meant, put that into the record"
                )
        shutil.rmtree(store / came, ignore_errors=True)
        scratch.rename(store / came)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return came


def digest_of(folder: Path) -> str:
    """Over the names and digests of all files in a folder, in order."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def _copy(url: str, folder: Path, most: int) -> None:
    system, start = _system(url)
    try:
        files: Mapping[str, Any] = system.find(start, detail=True)
        if not files:
            raise DataError(f"source.path: {url} must name a file or a folder with files, but there is none")
        total = 0
        for name in sorted(files):
            to = folder / _inner(url, start, name)
            to.parent.mkdir(parents=True, exist_ok=True)
            total += _copy_file(system, name, to, most - total, url)
        after: Mapping[str, Any] = system.find(start, detail=True)
    except DataError:
        raise
    except Exception as error:  # every fsspec implementation raises errors of its own
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # of the disk here
            raise
        raise Unreachable(f"source.path: {url} must be readable, but: {error!r}") from error
    changed = sorted(name for name in {*files, *after} if _version(files.get(name)) != _version(after.get(name)))
    if changed:
        raise DataError(
            f"source.path: {url} must not change while it is copied, but {changed[0]} did; run prepare again"
        )


def _copy_file(system: "AbstractFileSystem", name: str, to: Path, most: int, url: str) -> int:
    size = 0
    with system.open(name, "rb") as source, to.open("wb") as target:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise DataError(f"source.max_gigabytes: {url} must not be larger than that, but it is")
            target.write(chunk)
    return size


def _inner(url: str, start: str, name: str) -> str:
    """The name of a file below the URL, or of the file that it names itself."""
    inner = name.removeprefix(start).lstrip("/") if name != start else PurePosixPath(name).name
    parts = PurePosixPath(inner).parts
    if not parts or ".." in parts or "\\" in inner or "\0" in inner or inner.startswith("/"):
        raise DataError(f"source.path: every name below {url} must lie inside of it, but one is {name!r}")
    return inner


def _version(info: Any) -> dict[str, str] | None:
    """What tells one version of a remote file from the next, as far as its store says."""
    return None if info is None else {key: str(info[key]) for key in _VERSION if key in info}


def _system(url: str) -> "tuple[AbstractFileSystem, str]":
    import fsspec

    try:
        system, start = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise DataError(
            f"source.path: {url} needs a package that is not installed: {error}; install it (s3:// s3fs, gs:// gcsfs, "
            "az:// adlfs), and list it in your project's requirements"
        ) from error
    except ValueError as error:
        raise DataError(f"source.path: {url} must be a URL that fsspec knows, but {error}") from error
    return system, str(start).rstrip("/")
