"""API keys: a file of names, salted hashes and rates, which the service reads again when it changes.

A key is 256 random bits, so nobody finds it by trying, however fast the hash: SHA-256 is enough. Slow hashes protect
passwords, which people choose from far fewer. A salt keeps equal keys and tables of hashes from being recognised.
"""

import hashlib
import hmac
import json
import logging
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ddpm_core.checks import Check, Checks, Config, at_least_1
from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_write_bytes, json_bytes
from pipelines.parsing import Faults, parse_value
from pipelines.runtime.locks import locked

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEX_64 = re.compile(r"[0-9a-f]{64}")
_PREFIX = "ddpm_"

named: Check = (lambda v: _NAME.fullmatch(v) is not None, "1 to 64 letters, digits, `.`, `_` or `-`")


@dataclass(frozen=True)
class Key(Config):
    """What the file holds of a key: never the key itself."""

    name: str
    salt: str
    sha256: str
    rate: float | None  # requests a second; None: as many as the service can
    burst: int  # requests that may come at once
    only: Literal["metrics"] | None  # a key that reads /metrics and nothing else

    __checks__: ClassVar[Checks] = {
        "name": named,
        "sha256": (lambda v: _HEX_64.fullmatch(v) is not None, "64 hex digits"),
        "rate": (lambda v: v is None or 0 < v < math.inf, "above 0, or null"),
        "burst": at_least_1,
    }

    @classmethod
    def new(cls, name: str, rate: float | None, burst: int, only: Literal["metrics"] | None) -> tuple["Key", str]:
        """A new key, and its text, which is kept nowhere."""
        text, salt = _PREFIX + secrets.token_urlsafe(32), secrets.token_hex(16)
        return cls(name, salt, _hash(salt, text.encode()), rate, burst, only), text

    def matches(self, presented: bytes) -> bool:
        return hmac.compare_digest(_hash(self.salt, presented), self.sha256)


def _hash(salt: str, text: bytes) -> str:
    return hashlib.sha256(salt.encode() + text).hexdigest()


@dataclass(frozen=True)
class KeyFile(Config):
    """The file as a whole."""

    format: Literal[1]
    keys: list[Key]

    def faults(self) -> list[str]:
        names = [key.name for key in self.keys]
        return [f"keys: must have one key of each name, got {name!r} twice" for name in names if names.count(name) > 1]


def read_keys(path: Path) -> list[Key]:
    """The keys of a file, or one ParamsError with all its faults."""
    faults = Faults()
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        why = "file not found" if isinstance(error, FileNotFoundError) else "must be a readable JSON file"
        raise ParamsError(f"{path}: {why}; make one with `ddpm keys add NAME --file {path}`") from error
    kept = parse_value(KeyFile, value, "", faults)
    faults.raise_if_any(str(path))
    keys: list[Key] = kept.keys
    return keys


def write_keys(path: Path, keys: Sequence[Key]) -> None:
    """Write the file, which its owner alone may read."""
    atomic_write_bytes(path, json_bytes({"format": 1, "keys": [asdict(key) for key in keys]}), mode=0o600)


def keys_locked(path: Path) -> AbstractContextManager[None]:
    """Hold this while the file is read, changed and written, so that no other change is lost."""
    return locked(path.with_name(f".{path.name}.lock"))


class KeyRing:
    """The keys of a file, and how many requests each may still make.

    The file is looked at with each request. While it cannot be read the keys that were read before stay.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._seen = _version(path)
        self._keys = read_keys(path)
        self._buckets: dict[str, tuple[float, float]] = {}  # a key's hash -> (requests left, at this time)

    def find(self, presented: bytes) -> Key | None:
        """The key with this text. All keys are compared, so that the time tells nothing."""
        self._reread()
        found = None
        for key in self._keys:
            if key.matches(presented):
                found = key
        return found

    def wait(self, key: Key) -> float:
        """Count a request: 0 if it is allowed, else the seconds until one would be (a token bucket)."""
        if key.rate is None:
            return 0.0
        now = self._clock()
        left, before = self._buckets.get(key.sha256, (float(key.burst), now))
        left = min(float(key.burst), left + (now - before) * key.rate)
        allowed = left >= 1
        self._buckets[key.sha256] = (left - 1 if allowed else left, now)
        return 0.0 if allowed else (1 - left) / key.rate

    def _reread(self) -> None:
        version = _version(self._path)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._keys = read_keys(self._path)
        except ParamsError as error:
            log.error("API keys: %s; the %d keys that were read before stay in use", error, len(self._keys))
            return
        log.info("API keys: read again, %d keys", len(self._keys))
        known = {key.sha256 for key in self._keys}
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in known}


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
