"""out/reference: what is known of the real data, made once for them, so that many bundles can be held against it.

reference.json holds what the kind of data says in words and numbers, the digest of each other file, and the digest of
the data in data/shards. What the other files hold is the kind's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_write_bytes, json_bytes, sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.shards.archive import Split

if TYPE_CHECKING:
    import torch

REFERENCE_NAME = "reference.json"
_FORMAT = 3
_MEND = "`dvc repro reference` makes it anew"


@dataclass(frozen=True, eq=False)
class RealData:
    """What a kind makes a reference of. `config` is its section `reference`, `root` the project's folder."""

    train: Split
    test: Split
    spec: DataSpec
    config: Any
    root: Path
    device: "torch.device"


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference folder, read and verified. `digest` names all of it."""

    content: Mapping[str, Any]
    digest: str
    files: Mapping[str, bytes]


def write_reference(folder: Path, content: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Write the files into the folder and the list of them last; the digest of that list."""
    for name, data in sorted(files.items()):
        atomic_write_bytes(folder / name, data)
    digests = {name: sha256_bytes(data) for name, data in files.items()}
    listed = json_bytes({**content, "format": _FORMAT, "files": digests})
    atomic_write_bytes(folder / REFERENCE_NAME, listed)
    return sha256_bytes(listed)


def read_reference(folder: Path) -> Reference:
    """Read a reference folder; every file must have the digest that the list gives it."""
    path = folder / REFERENCE_NAME
    if not path.is_file():
        raise DataError(f"{path}: there must be a reference; run `ddpm reference` first")
    listed = path.read_bytes()
    try:
        content = json.loads(listed)
        digests = dict(content["files"])
        known = content["format"] == _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path}: must be a list of the reference's files, but {error}; {_MEND}") from error
    if not known:
        raise IntegrityError(f"{path}: must have the format {_FORMAT}, got {content['format']!r}; {_MEND}")
    files = {name: _verified(folder / name, digest) for name, digest in digests.items()}
    return Reference(content=content, digest=sha256_bytes(listed), files=files)


def _verified(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise IntegrityError(f"{path}: the reference lists this file, but it is missing; {_MEND}")
    data = path.read_bytes()
    if (found := sha256_bytes(data)) != digest:
        raise IntegrityError(f"{path}: its SHA-256 must be {digest}, it is {found}; {_MEND}")
    return data
