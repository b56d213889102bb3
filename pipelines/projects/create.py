"""Makes a folder a project: writes its files, and starts git and DVC there where there are none."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ddpm_core.errors import DdpmError, ParamsError
from ddpm_core.files import atomic_write_bytes, atomic_write_text, json_bytes
from pipelines.projects.code import PACKAGES, project_graph
from pipelines.projects.params_text import with_values
from pipelines.projects.presets import preset
from pipelines.validation.summary import NOTHING

_HERE = Path(__file__).resolve().parent
_HARMLESS = {".git", ".gitattributes", "LICENSE"}  # what a folder may hold before it is a project

GITIGNORE = """\
.ddpm/
/out/
/data/prepared
/data/manifest.parquet
/data/quarantine
/data/source.json
/data/shards
__pycache__/
.venv/
"""
ACCEPTED = "accepted.json"
NOTHING_ACCEPTED = json_bytes(NOTHING).decode()
_DVCIGNORE = "# Files that are being written.\n.*.part\n"
_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n"


@dataclass(frozen=True)
class ProjectFiles:
    """The files of a new project by their names, `params.yaml` the last: with it the folder is a project."""

    files: Mapping[str, bytes]

    @classmethod
    def of(cls, name: str, about: str, params: str, copied: Mapping[str, bytes] | None = None) -> "ProjectFiles":
        quoted = json.dumps(name, ensure_ascii=False)  # `cats #1` and `2026` are names too
        texts = {
            "dvc.yaml": project_graph(),
            ACCEPTED: NOTHING_ACCEPTED,
            "prefect.yaml": _file("prefect.yaml").replace("NAME", quoted).replace("{{ project }}", _plain(name)),
            ".dvcignore": _DVCIGNORE,
            ".gitignore": GITIGNORE,
            "README.md": _file("readme.jinja")
            .replace("{{ name }}", name)
            .replace("{{ about }}", about)
            .replace("{{ project }}", _plain(name)),
        }
        plots = {f".dvc/plots/{file.name}": file.read_bytes() for file in sorted((_HERE / "plots").glob("*.json"))}
        made = {name: text.encode() for name, text in texts.items()}
        return cls({**made, **plots, **(copied or {}), "params.yaml": params.encode()})


def from_preset(name: str, folder: Path) -> ProjectFiles:
    """A preset's project, with a copy of the file that its source names."""
    text = preset(name).read_text(encoding="utf-8")
    from pipelines.params import read_yaml

    watched = PACKAGES / read_yaml(preset(name))["source"]["path"]
    own = f"source/{watched.name}"
    params = with_values(text, {"source.path": own})
    return ProjectFiles.of(folder.resolve().name, f"the preset `{name}`", params, {own: watched.read_bytes()})


def check_free(folder: Path, files: ProjectFiles, data: Path | None = None) -> None:
    """Refuse a folder that holds anything else; what an interrupted `init` wrote is no reason."""
    if (folder / "params.yaml").exists():
        raise ParamsError(
            f"{folder}: must not be a project yet, but it has a params.yaml, which is never overwritten; "
            f"`ddpm init {folder} --update` brings it to this version, and another folder begins anew"
        )
    other = sorted(_others(folder, files, data))
    if other:
        raise ParamsError(
            f"{folder}: must be an empty folder or a new one, got a folder of other files ({', '.join(other[:3])}"
            f"{' and more' if len(other) > 3 else ''}); nothing was written"
        )


def _others(folder: Path, files: ProjectFiles, data: Path | None) -> Iterator[str]:
    ours = {Path(name).parts[0] for name in files.files} | {".dvc", "source"}
    for entry in folder.iterdir() if folder.is_dir() else ():
        held = files.files.get(entry.name)
        same = (
            held is None
            or entry.name in ("README.md", ".gitignore")
            or (entry.is_file() and entry.read_bytes() == held)
        )
        of_data = data is not None and data.resolve().is_relative_to(entry.resolve())
        if not (of_data or entry.name in _HARMLESS or (entry.name in ours and same)):
            yield entry.name


def create(folder: Path, files: ProjectFiles) -> None:
    """Write the project; a README.md that is there stays, and a .gitignore gets what it lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    ignored = _start_git(folder)
    if not (folder / ".dvc" / "config").is_file():
        (folder / ".dvc").mkdir(exist_ok=True)
        atomic_write_text(folder / ".dvc" / ".gitignore", "/config.local\n/tmp\n/cache\n")
        without_git = ignored or shutil.which("git") is None
        atomic_write_text(folder / ".dvc" / "config", _DVC_CONFIG + ("    no_scm = true\n" if without_git else ""))
    for name, data in files.files.items():
        place = folder / name
        if place.exists() and name == "README.md":
            continue
        if place.exists() and name == ".gitignore":
            data = _joined(place.read_bytes(), data)
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(place, data)


def _joined(before: bytes, wanted: bytes) -> bytes:
    lines = before.splitlines()
    missing = [line for line in wanted.splitlines() if line not in lines]
    return before + b"".join(
        (b"" if before.endswith(b"\n") or not before else b"\n", *(line + b"\n" for line in missing))
    )


def _start_git(folder: Path) -> bool:
    """`git init`, unless the folder lies in a working tree; whether that ignores the folder."""
    if shutil.which("git") is None:
        return False
    if _git(folder, "rev-parse", "--is-inside-work-tree").returncode != 0:
        if (done := _git(folder, "init", "--quiet")).returncode != 0:
            raise DdpmError(f"{folder}: git init must work there, but it says: {done.stderr.strip()}")
        return False
    return _git(folder, "check-ignore", "--quiet", ".").returncode == 0


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True)


def _plain(name: str) -> str:
    """A project's name as part of a deployment's: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^\w.]+", "-", name).strip("-") or "project"


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
