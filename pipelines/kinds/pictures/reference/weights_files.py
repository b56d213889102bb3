"""Weights of extractors that do not ship with a package: listed in params.yaml with their digest, found in one order.

1. `path` of the listing, from the project's folder
2. the environment variable of the family ($DDPM_INCEPTION, $DDPM_DINOV2)
3. the cache of torch.hub ($TORCH_HOME, else $XDG_CACHE_HOME/torch, else ~/.cache/torch; then hub/checkpoints), under
   any of the names that the file has there
4. a download, only where the listing says `download: true`

The first that applies counts: a path that is given and wrong is an error, and nothing further is tried. What is listed
and not found, or has another digest, is an error too, never a skip.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config
from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import sha256_bytes

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ENVIRONMENT = {"inception": "DDPM_INCEPTION", "dinov2": "DDPM_DINOV2"}
# Inception: as torch-fidelity names its file, and as pytorch-fid names the same one. DINOv2: as its makers name them.
CACHED = {
    "inception": ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
    "dinov2_vits14": ("dinov2_vits14_pretrain.pth",),
    "dinov2_vits14_reg": ("dinov2_vits14_reg4_pretrain.pth",),
    "dinov2_vitb14": ("dinov2_vitb14_pretrain.pth",),
    "dinov2_vitb14_reg": ("dinov2_vitb14_reg4_pretrain.pth",),
}
_HEX = set("0123456789abcdef")


@dataclass(frozen=True)
class ExtractorFile(Config):
    """One extractor that is used besides: what it is, and the file of its weights."""

    kind: Literal["inception", "dinov2_vits14", "dinov2_vits14_reg", "dinov2_vitb14", "dinov2_vitb14_reg"]
    path: str | None
    sha256: str
    download: bool

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: v is None or bool(v), "null or the path of a file, from the project's folder"),
        "sha256": (lambda v: len(v) == 64 and set(v) <= _HEX, "64 hexadecimal digits"),
    }

    @property
    def family(self) -> str:
        """`inception` or `dinov2`: of each one may be listed, for their numbers have one name."""
        return self.kind.split("_")[0]


def read_weights_file(listed: ExtractorFile, root: Path, download: Callable[[], bytes]) -> bytes:
    """The bytes of a listed file, whose SHA-256 must be the listed one; `download` fetches it where that is allowed."""
    place = _located(listed, root)
    if place is None and not listed.download:
        raise DataError(
            f"reference.extractors: the weights of {listed.kind} are listed and must be found; there is no path in the "
            f"listing, no ${ENVIRONMENT[listed.family]}, and no {' and no '.join(CACHED[listed.kind])} in "
            f"{_hub()}. Give the path, set download: true, or take the extractor off the list"
        )
    data = download() if place is None else place.read_bytes()
    digest = sha256_bytes(data)
    if digest != listed.sha256:
        raise IntegrityError(
            f"reference.extractors: {place or 'the download'} must have the SHA-256 {listed.sha256}, it has {digest}; "
            "get the file again, or take the extractor off the list"
        )
    return data


def dinov2_address(kind: str) -> str:
    """Where the makers of DINOv2 offer its weights."""
    file = CACHED[kind][0]
    return f"https://dl.fbaipublicfiles.com/dinov2/{file.split('_')[0]}_{file.split('_')[1]}/{file}"


def _located(listed: ExtractorFile, root: Path) -> Path | None:
    """The file that counts; DataError where one is named that is not there."""
    variable = ENVIRONMENT[listed.family]
    for told, value in (("path", listed.path), (f"${variable}", os.environ.get(variable))):
        if value:
            place = root / value
            if not place.is_file():
                raise DataError(
                    f"reference.extractors: {told} of {listed.kind} must name a file, there is none at {place}; mend "
                    "it, or leave it out to have the cache of torch.hub looked through"
                )
            return place
    cached = (_hub() / name for name in CACHED[listed.kind])
    return next((place for place in cached if place.is_file()), None)


def _hub() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = os.environ.get("TORCH_HOME")
    return (Path(home).expanduser() if home else cache / "torch") / "hub" / "checkpoints"
