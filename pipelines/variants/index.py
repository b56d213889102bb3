"""variants.json beside a bundle: which variants it has, how each was judged, and how long each takes.

The variants of `out/bundle` lie in `out/bundle.variants`: `NAME/` is a bundle of its own, `judged/NAME/` its
measurement, and variants.json the list, with its own digest. The bundle itself stays as it is, to the byte.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import atomic_write_bytes, json_bytes, sha256_bytes

FP32, AUTO = "fp32", "auto"
FORMAT = 1
_FILE = "variants.json"
_MEND = "make it again with `ddpm variants`"


@dataclass(frozen=True)
class Judged:
    """A variant: the digest of its bundle, the gate's outcome on its own samples, its largest error at any level."""

    bundle: str
    outcome: str
    headline: str
    error: float


@dataclass(frozen=True)
class Index:
    """The variants of one bundle, by name, and CPU milliseconds a datum and evaluation, by name and batch."""

    of: str
    machine: str
    ms: Mapping[str, Mapping[str, float]]
    variants: Mapping[str, Judged]

    def write(self, bundle: Path) -> None:
        content = {"format": FORMAT, **asdict(self)}
        folder_of(bundle).mkdir(parents=True, exist_ok=True)
        digest = sha256_bytes(json_bytes(content))
        atomic_write_bytes(folder_of(bundle) / _FILE, json_bytes({**content, "content_sha256": digest}))

    def fastest(self, batch: int) -> str:
        """The fastest at the nearest batch that was timed, among the first network and the variants that passed."""
        passed = [FP32, *(name for name, each in self.variants.items() if each.outcome == "pass")]
        timed = {name: self.ms[name] for name in passed if self.ms.get(name)}
        return min(timed, key=lambda name: _nearest(timed[name], batch), default=FP32)


def folder_of(bundle: Path) -> Path:
    """Where the variants of a bundle's folder lie."""
    return bundle.parent / f"{bundle.name}.variants"


def read_index(bundle: Path) -> Index | None:
    """What variants.json says; None where there is none, IntegrityError where it was changed."""
    file = folder_of(bundle) / _FILE
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        written, format = content.pop("content_sha256"), content.pop("format")
        whole = format == FORMAT and sha256_bytes(json_bytes({"format": format, **content})) == written
        variants = {name: Judged(**each) for name, each in content.pop("variants").items()}
        index = Index(**content, variants=variants)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise IntegrityError(f"{file}: must be a list of variants, got {problem}; {_MEND}") from error
    if not whole:
        raise IntegrityError(f"{file}: must be of format {FORMAT} and have the digest written in it; {_MEND}")
    return index


@dataclass(frozen=True)
class VariantChoice:
    """The folder to open, the variant's name, the digest that its bundle must have, and why it was chosen."""

    folder: Path
    name: str
    digest: str | None
    reason: str

    def check(self, digest: str) -> None:
        """IntegrityError where the folder holds another bundle than the one that was judged."""
        if self.digest not in (None, digest):
            raise IntegrityError(
                f"{self.folder}: must hold the bundle {self.digest} that was judged, got {digest}; {_MEND}"
            )


def choose(bundle: Path, digest: str, asked: str, batch: int) -> VariantChoice:
    """The bundle to open for --variant: fp32, the name of a variant that passed, or auto for the fastest of these.

    `auto` goes by times of this very kind of machine; elsewhere, and without variants, it is fp32.
    """
    first = VariantChoice(bundle, FP32, None, "the network that was judged as the bundle itself")
    if asked == FP32:
        return first
    index = read_index(bundle)
    if index is None or index.of != digest:
        why = "has no variants" if index is None else "has variants of another bundle"
        if asked == AUTO:
            return VariantChoice(bundle, FP32, None, f"{bundle} {why}")
        raise ParamsError(f"--variant: must be {FP32} or {AUTO} where the bundle {why}, got {asked}; {_MEND}")
    if asked == AUTO:
        if index.machine != machine():
            return VariantChoice(bundle, FP32, None, f"the variants were timed on another machine ({index.machine})")
        name = index.fastest(batch)
        reason = f"the fastest at a batch of {batch} that passed the gate"
        return VariantChoice(bundle, FP32, None, reason) if name == FP32 else _passed(bundle, index, name, reason)
    if asked not in index.variants:
        raise ParamsError(f"--variant: must be one of {', '.join([AUTO, FP32, *index.variants])}, got {asked}; {_MEND}")
    return _passed(bundle, index, asked, "asked for")


def _passed(bundle: Path, index: Index, name: str, reason: str) -> VariantChoice:
    judged, folder = index.variants[name], folder_of(bundle) / name
    if judged.outcome != "pass":
        raise ParamsError(
            f"--variant: must have passed the gate, but {name} has the outcome {judged.outcome} ({judged.headline}); "
            f"take {FP32}, or look at it with --bundle {folder}"
        )
    return VariantChoice(folder, name, judged.bundle, reason)


def _nearest(ms: Mapping[str, float], batch: int) -> float:
    return ms[min(ms, key=lambda timed: abs(int(timed) - batch))]


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The kind of processor, with what it can do in int8, as times and rounding depend on both."""
    told: dict[str, str] = {}
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            told.setdefault(key.strip(), value.strip())
    able = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in told.get("flags", "").split()]
    return ", ".join([told.get("model name") or platform.processor() or platform.machine(), *able])
