"""Where a served model comes from, and may change: a folder here; the registry's alias stands with the registry."""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ddpm_core.bundle.format import BUNDLE_FILE, Bundle, read_bundle
from ddpm_core.errors import IntegrityError
from ddpm_core.files import sha256_file

_KEPT = 4  # bundles of a model in its cache


@dataclass(frozen=True)
class Offer:
    """What a source has now. `mark` is another one whenever reading again could come to something else.

    `version` is the registry's number; `created` is in seconds since 1970.
    """

    mark: str
    digest: str
    version: str | None
    created: int


class Source(Protocol):
    """Where the versions of a model come from. An OSError or a TrackingError says that it cannot be reached now."""

    @property
    def name(self) -> str:
        """In words for the log and for clients: no path and no address."""

    def look(self) -> Offer:
        """What it has now; cheap enough to ask every few seconds."""

    def read(self, offer: Offer) -> Bundle:
        """The bundle of an offer, each byte verified; IntegrityError where it is not what was offered."""


class FolderSource:
    """A bundle's folder. bundle.json is read again only when a file of the bundle was written."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offer: Offer | None = None

    def look(self) -> Offer:
        file = self._folder / BUNDLE_FILE
        stats = [(path.name, path.stat()) for path in (file, *sorted(self._folder.glob("*.onnx")))]
        mark = repr([(name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats])
        if self._offer is None or self._offer.mark != mark:
            self._offer = Offer(mark, sha256_file(file), None, int(stats[0][1].st_mtime))
        return self._offer

    def read(self, offer: Offer) -> Bundle:
        return as_offered(read_bundle(self._folder), offer.digest)


def as_offered(bundle: Bundle, digest: str) -> Bundle:
    """The bundle, if it has the digest that its source told."""
    if bundle.digest != digest:
        raise IntegrityError(
            f"the bundle must have the digest {digest[:16] or '(none)'} that its source tells, but the bytes that came "
            f"have {bundle.digest[:16]}; register or write it again"
        )
    return bundle


class Cache:
    """A model's bundles by digest, verified whenever they are read; a few of the last ones are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def bundle(self, offer: Offer, source: Source) -> Bundle:
        """The bundle of an offer; from the source if it is not here, or no longer whole."""
        folder = self._folder / offer.digest
        if offer.digest and folder.is_dir():
            with suppress(IntegrityError):
                found = as_offered(read_bundle(folder), offer.digest)
                self.touch(offer.digest)
                return found
        bundle = source.read(offer)
        bundle.write(folder)
        self._prune()
        return bundle

    def touch(self, digest: str) -> None:
        """Keep this bundle rather than those that were used before."""
        with suppress(OSError):
            os.utime(self._folder / digest)

    def _prune(self) -> None:
        folders = sorted((each for each in self._folder.iterdir() if _is_digest(each.name)), key=_used, reverse=True)
        for folder in folders[_KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


def _is_digest(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # another server has removed it
        return time.time()
