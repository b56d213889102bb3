"""Tars, plain or compressed: their members, each with its place in a plain tar, in bounded memory.

A compressed tar is decompressed once, into `$DDPM_HOME/sources` under its digest, so that a member can be read by
itself. Nothing is unpacked. Every member is accounted for: a tar whose list breaks off is refused as a whole.
"""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ddpm_core.errors import DataError
from ddpm_core.files import atomic_path, sha256_file
from pipelines.kinds.pictures.rows.rules import File
from pipelines.kinds.pictures.sources.contents import Refused, Slice, stamp_of
from pipelines.paths import Paths

_CHUNK = 1 << 20
_HEADER_BYTES = 1 << 20  # of one header with its long name or its pax records
_RATIO, _SMALL = 200, 100_000_000  # a compressed tar may be so many times larger, or so large in any case
_XZ_MEMORY = 256 << 20
_ERRORS = (tarfile.TarError, ValueError, OSError, EOFError, OverflowError, LookupError)
_DECOMPRESS_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


@dataclass(frozen=True)
class TarEntry:
    """A member; `content` is None for a folder."""

    parts: tuple[str, ...]
    content: File | None


def store_of(root: Path) -> Path:
    """Where local copies of sources are kept, each under the digest of what it was made of."""
    return Paths.of(root).home / "sources"


def is_tar(path: Path) -> bool:
    """By the first bytes; by its name where the tar is older than the mark `ustar`."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK"):
        return False
    return head[257:262] == b"ustar" or _opener(head) is not None or path.name.lower().endswith(ENDINGS)


def read_tar(path: Path, root: Path) -> list[TarEntry]:
    """Every member in order. DataError where a name leads out of the tar, or the tar is damaged or changes."""
    plain = _plain(path, store_of(root))
    stamp = stamp_of(plain)
    entries = []
    try:
        with plain.open("rb") as file:
            archive = tarfile.TarFile(fileobj=_Limited(file), errorlevel=2)
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else a list of them is kept
                if member.size < 0:
                    raise tarfile.ReadError("a member has a size below 0")
                entries.append(_entry(path, plain, member, stamp))
            _check_end(file, archive.offset)
    except _ERRORS as error:
        raise DataError(
            f"source.path: {path} must be a tar that can be read, but {error or 'it is damaged'}"
        ) from error
    return entries


def _entry(path: Path, plain: Path, member: tarfile.TarInfo, stamp: tuple[int, int]) -> TarEntry:
    name = member.name
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or ".." in parts or name[1:2] == ":" or "\0" in name:
        raise DataError(
            f"source.path: every name in {path} must lie inside the tar, but one is {name!r}; the tar is refused "
            "(pack it again without `..`, drive letters, backslashes and leading slashes)"
        )
    if member.isdir():
        return TarEntry(parts, None)
    if not parts:
        return TarEntry(("(no name)",), Refused.because("a member without a name"))
    if member.issym() or member.islnk():
        return TarEntry(parts, Refused.because("a link inside its tar; it is not followed (pack the picture itself)"))
    if not member.isreg() or member.issparse():
        return TarEntry(parts, Refused.because("not a regular file inside its tar"))
    return TarEntry(parts, Slice(plain, "", member.offset_data, member.size, stamp))


class _Limited(io.RawIOBase):
    """A tar's file of which tarfile reads headers alone, so that a header cannot ask for all memory."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _check_end(file: BinaryIO, offset: int) -> None:
    """tarfile takes a damaged header for the end; an end is zeros up to the end of the file."""
    file.seek(offset)
    if offset >= os.fstat(file.fileno()).st_size:
        raise tarfile.ReadError("it ends without the two blocks of zeros that end a tar; it may be cut off")
    while chunk := file.read(_CHUNK):
        if chunk.strip(b"\0"):
            raise tarfile.ReadError(f"it is damaged at byte {offset}, or something follows its end")


def _opener(head: bytes) -> Callable[[Path], Iterator[bytes]] | None:
    if head.startswith(b"\x1f\x8b"):
        return lambda path: _chunks(gzip.open(path))
    if head.startswith(b"BZh"):
        return lambda path: _chunks(bz2.open(path))
    return _xz_chunks if head.startswith(b"\xfd7zXZ\0") else None


def _chunks(opened: "gzip.GzipFile | bz2.BZ2File") -> Iterator[bytes]:
    with opened as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _xz_chunks(path: Path) -> Iterator[bytes]:
    """Streams one after another, with a limit on memory, which LZMAFile does not have."""
    with path.open("rb") as file:
        while first := file.read(_CHUNK).lstrip(b"\0"):
            decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            data = first
            while True:
                yield decoder.decompress(data, max_length=_CHUNK)
                if decoder.eof:
                    break
                data = file.read(_CHUNK) if decoder.needs_input else b""
                if decoder.needs_input and not data:
                    raise EOFError("it ends too soon")
            file.seek(file.tell() - len(decoder.unused_data))


def _plain(path: Path, store: Path) -> Path:
    """The tar itself, or what it is when decompressed."""
    try:
        with path.open("rb") as file:
            opener = _opener(file.read(16))
        if opener is None:
            return path
        before = stamp_of(path)
        kept = store / f"{sha256_file(path)}.tar"
        if kept.is_file():
            return kept
    except OSError as error:
        raise DataError(f"source.path: {path} must be a tar that can be read, but {error.strerror}") from error
    most = max(_SMALL, _RATIO * before[1])
    with atomic_path(kept) as temporary:
        _decompress(path, opener(path), temporary, most)
        if stamp_of(path) != before:
            raise DataError(f"source.path: {path} must not change while it is read; run prepare again")
    return kept


def _decompress(path: Path, chunks: Iterator[bytes], to: Path, most: int) -> None:
    size = 0
    with to.open("wb") as file:
        while True:
            try:
                chunk = next(chunks, None)
            except _DECOMPRESS_ERRORS as error:
                raise DataError(
                    f"source.path: {path} must be a tar that can be decompressed, but {error or 'it is damaged'}"
                ) from error
            if chunk is None:
                return
            size += len(chunk)
            if size > most:
                raise DataError(
                    f"source.path: {path} must not become more than {most} bytes when decompressed ({_RATIO} times its "
                    "size); give it as a plain .tar if that is no mistake"
                )
            file.write(chunk)
