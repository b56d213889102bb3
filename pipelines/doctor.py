"""What this machine has and what is missing. Works with any package missing."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ddpm_core.errors import DdpmError
from pipelines.gpu_doctor import examine_gpu, sampling_provider
from pipelines.paths import Paths
from pipelines.runtime.threads import Asked, in_use
from pipelines.sampling.onnxruntimes import installed_onnxruntimes

# The purposes of an installation, and the packages that each one needs.
SAMPLING = ("numpy", "pillow", "pydantic", "ruamel.yaml", "tqdm")
SERVICE = ("fastapi", "uvicorn")
PIPELINE = (
    "torch",
    "safetensors",
    "torchvision",
    "webdataset",
    "dvc",
    "prefect",
    "sqlalchemy",
    "mlflow",
    "great-expectations",
    "onnx",
    "onnxscript",
    "torch-fidelity",
    "mlxtend",
)
LOW_DISK_GB = 2.0


@dataclass
class Findings:
    """Lines under headings, and the problems found."""

    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, text: str) -> None:
        self.sections.setdefault(section, []).append((name, text))

    def fault(self, text: str) -> None:
        self.faults.append(text)

    @property
    def healthy(self) -> bool:
        return not self.faults

    def text(self) -> str:
        blocks = []
        for section, lines in self.sections.items():
            blocks.append(section + "\n" + "".join(f"  {name:<20} {text}\n" for name, text in lines))
        last = "".join(f"  {fault}\n" for fault in self.faults) or "  nothing is missing\n"
        return "\n".join([*blocks, "missing or wrong\n" + last])


def examine(project: str | None) -> Findings:
    """Run all checks; one that fails does not hide the others."""
    findings = Findings()
    looks: tuple[Callable[[Findings], None], ...] = (_versions, _runtime, _devices)
    for look in looks:
        look(findings)
    _project(findings, Path(project) if project else Path.cwd())
    return findings


def _versions(findings: Findings) -> None:
    findings.add("versions", "python", f"{sys.version.split()[0]} ({sys.executable})")
    for names, purpose in ((SAMPLING, "anything"), (SERVICE, "`ddpm serve`"), (PIPELINE, "the stages")):
        absent = [name for name in names if _version(name) is None]
        for name in names:
            findings.add("versions", name, _version(name) or "not installed")
        if len(absent) == len(names) and names is PIPELINE:
            findings.add("versions", "the stages", "cannot run here: an installation for sampling and serving")
        elif absent:
            extra = "serve" if names is SERVICE else "pipeline"
            findings.fault(f"{purpose} needs {', '.join(absent)}: install the extra `{extra}` (make install)")


def _runtime(findings: Findings) -> None:
    """Exactly one build of onnxruntime: two overwrite each other's files."""
    there = installed_onnxruntimes()
    for name, version_of_it in there.items():
        findings.add("versions", name, version_of_it)
    if not there:
        findings.fault("sampling needs onnxruntime: install the extra `serve` (make install-serve)")
    if len(there) > 1:
        findings.fault(f"{' and '.join(there)} are both installed and overwrite each other: uninstall both, then one")


def _devices(findings: Findings) -> None:
    findings.add("devices", "CPU cores", str(len(os.sched_getaffinity(0))))
    findings.add("devices", "torch", _torch_devices())
    findings.add("devices", "onnxruntime", _runtime_providers())
    findings.add("devices", "sampling runs on", sampling_provider())
    lines, faults = examine_gpu()
    for name, text in lines:
        findings.add("GPU", name, text)
    for fault in faults:
        findings.fault(fault)


def _torch_devices() -> str:
    try:
        import torch
    except ImportError as error:
        return f"cannot be imported: {error}"
    if not torch.cuda.is_available():
        return "CPU (no CUDA device found)"
    return ", ".join(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))


def _runtime_providers() -> str:
    try:
        import onnxruntime as runtime
    except ImportError as error:
        return f"cannot be imported: {error}"
    names = [name.removesuffix("ExecutionProvider") for name in runtime.get_available_providers()]
    driver = Path("/dev/nvidiactl").exists()
    usable = [name for name in names if driver or name not in ("CUDA", "Tensorrt")]
    return f"{', '.join(usable)}" + ("" if driver or usable == names else " (built for CUDA too; no driver found)")


def _project(findings: Findings, start: Path) -> None:
    root = next((f for f in (start, *start.parents) if (f / "params.yaml").is_file()), None)
    if root is None:
        findings.add("project", "folder", f"none at {start} or above it; sampling from a bundle works without one")
        return
    paths = Paths.of(root)
    findings.add("project", "folder", str(paths.root))
    _parameters(findings, paths)
    findings.add("project", "bundle", str(paths.bundle) if paths.bundle.exists() else "none yet: ddpm run")
    cache = paths.root / ".dvc" / "cache"
    findings.add("stores", "state ($DDPM_HOME)", f"{paths.home} ({_size(paths.home)})")
    findings.add("stores", "DVC's cache", f"{cache} ({_size(cache)})")
    findings.add("stores", "MLflow", os.environ.get("MLFLOW_TRACKING_URI") or "sqlite in the state folder")
    findings.add("stores", "Prefect", os.environ.get("PREFECT_API_URL") or "a temporary server for each `ddpm flow`")
    for place in (paths.root, paths.home, paths.root / ".dvc"):
        if why := _unwritable(place):
            findings.fault(f"{place} must be a folder that can be written, or `ddpm run` cannot start, but: {why}")
    free = shutil.disk_usage(paths.root).free / 1e9
    findings.add("stores", "free disk", f"{free:.1f} GB")
    if free < LOW_DISK_GB:
        findings.fault(f"only {free:.1f} GB of disk are free at {paths.root}; the pipeline needs {LOW_DISK_GB:.0f}")


def _unwritable(folder: Path) -> str | None:
    """Why no file can be made in a folder; None if one can, or it is not there."""
    if not folder.is_dir():
        return None
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _parameters(findings: Findings, paths: Paths) -> None:
    from pipelines.params import load_params

    try:
        params = load_params(paths.params)
    except DdpmError as error:
        findings.add("project", "params.yaml", "faulty, see below")
        findings.fault(str(error))
        return
    except ImportError as error:
        findings.add("project", "params.yaml", f"cannot be checked here: {error}")
        return
    findings.add("project", "params.yaml", "good")
    findings.add("project", "device, threads", f"{params.runtime.device}, {_threads(params.runtime.threads)}")


def _threads(asked: Asked) -> str:
    number = in_use(asked)
    return str(asked) if number == asked else f"{asked}, {number} now"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _size(folder: Path) -> str:
    if not folder.exists():
        return "not there yet"
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{total / 1e6:.0f} MB"
