"""What makes a project's stages stale when the installed code changes: a digest for each stage in `code.json`.

The repository's dvc.yaml (here `graph.yaml`) lists the code that each stage uses. A project's dvc.yaml cannot name
those files, for they lie in the installed package. So its first stage, `code`, always runs and writes a digest of them
for each stage, and each other stage names its own key of `code.json` as a parameter.
"""

import hashlib
import re
from pathlib import Path

from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_write_json
from pipelines.params import read_yaml

PACKAGES = Path(__file__).resolve().parents[2]  # the folder that holds ddpm_core and pipelines
GRAPH = Path(__file__).resolve().parent / "graph.yaml"
NAME, STAGE = "code.json", "code"
_OURS = ("ddpm_core", "pipelines")

_FIRST = f"""\
  {STAGE}:                        # always runs: digests of the installed code; an upgrade makes stale what it changed
    cmd: ${{ddpm}} {STAGE}
    always_changed: true
    outs: [{{{NAME}: {{cache: false}}}}]
"""


def project_graph() -> str:
    """The dvc.yaml of a project: that of the repository with stage `code` in place of paths of code."""
    lines, stage = [], ""
    for line in GRAPH.read_text(encoding="utf-8").splitlines(keepends=True):
        stage = match[1] if (match := re.match(r"  (\w+):$", line)) else stage
        if line.strip().startswith(tuple(f"- {package}/" for package in _OURS)):
            continue
        lines.append(re.sub(r"^(    params: \[.*)\]$", rf"\1, {{{NAME}: [{stage}]}}]", line))
        if line.startswith("stages:"):
            lines.append(_FIRST)
    return "".join(lines)


def write_code(root: Path) -> None:
    """Write the digests of the code that runs now for the kind of data of this project."""
    kind = read_yaml(root / "params.yaml").get("kind")
    if not isinstance(kind, str):
        raise ParamsError(f"params.yaml: kind must be the name of a kind of data, got {kind!r}")
    atomic_write_json(root / NAME, code_digests(kind))


def code_digests(kind: str, packages: Path = PACKAGES, graph: Path = GRAPH) -> dict[str, str]:
    """Of each stage one SHA-256 over the names and bytes of the files of code that it uses."""
    stages = read_yaml(graph)["stages"]
    return {name: _digest(_code_of(stage["deps"], kind), packages) for name, stage in stages.items()}


def _code_of(deps: list[str], kind: str) -> list[str]:
    return sorted(dep.replace("${kind}", kind) for dep in deps if dep.partition("/")[0] in _OURS)


def _digest(paths: list[str], packages: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        for file in _files(packages / path):
            digest.update(f"{file.relative_to(packages).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(place: Path) -> list[Path]:
    """A file, or those of a folder but compiled code and notes, which DVC ignores in the repository too."""
    if not place.is_dir():
        return [place] if place.is_file() else []
    found = (file for file in place.rglob("*") if file.is_file())
    return sorted(file for file in found if file.suffix not in (".pyc", ".md") and not file.name.startswith("."))
