"""A small project of its own for tests: a clone of the working tree with tiny parameters, same installation."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipelines.params import read_yaml
from tests.support.imports import ROOT

TINY = ROOT / "tests" / "e2e" / "params-tiny.yaml"
STAGES = tuple(read_yaml(ROOT / "dvc.yaml")["stages"])


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    text: str

    def ran(self) -> list[str]:
        """The stages that `ddpm run` says it ran."""
        return [name for name in STAGES if any(line.startswith(name) and "..." in line for line in self.lines())]

    def unchanged(self) -> list[str]:
        return [name for name in STAGES if any(line.startswith(name) and "unchanged" in line for line in self.lines())]

    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass(frozen=True)
class Project:
    """A project's folder and the home of its state."""

    root: Path
    home: Path

    def ddpm(self, *words: str, timeout: float = 600) -> Done:
        return self.call(sys.executable, "-m", "pipelines.cli", *words, timeout=timeout)

    def dvc(self, *words: str, timeout: float = 600) -> Done:
        return self.call(sys.executable, "-m", "dvc", *words, timeout=timeout)

    def call(self, *command: str, timeout: float = 600) -> Done:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout)

    def environment(self) -> dict[str, str]:
        scripts = str(Path(sys.executable).parent)
        path = os.pathsep.join([scripts, os.environ.get("PATH", "")])
        return {**os.environ, "DDPM_HOME": str(self.home), "PATH": path, "DVC_NO_ANALYTICS": "1"}

    def with_prefect(self, folder: Path) -> dict[str, str]:
        """The environment of a flow with a Prefect server of its own, which keeps its state in a folder."""
        mine = {
            "PYTHONPATH": str(self.root),
            "PREFECT_HOME": str(folder),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        }
        return {name: value for name, value in self.environment().items() if name != "PREFECT_API_URL"} | mine

    def set_params(self, changes: Mapping[str, Any]) -> None:
        path = self.root / "params.yaml"
        write_yaml(path, merged(read_yaml(path), changes))

    def read(self, relative: str) -> bytes:
        return (self.root / relative).read_bytes()

    def git(self, *words: str) -> None:
        name = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
        subprocess.run(["git", *name, *words], cwd=self.root, check=True, capture_output=True)

    def remove_outputs(self) -> None:
        """Everything that the stages made, and DVC's cache of it."""
        for place in ("out", "data/prepared", "data/quarantine", "data/shards", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.root / place, ignore_errors=True)
        for name in ("manifest.parquet", "source.json"):
            (self.root / "data" / name).unlink(missing_ok=True)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` in it, mapping by mapping; a change of `kind` takes the mapping as it is."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merged(old, value) if both and value.get("kind", old.get("kind")) == old.get("kind") else value  # type: ignore[arg-type, union-attr]
    return result


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False  # in {braces} a plain text with a colon would be no YAML to DVC
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(dict(value), file)


def tiny_project(folder: Path, changes: Mapping[str, Any] | None = None) -> Project:
    """A clone in `folder / project` with tiny parameters."""
    tiny = merged(read_yaml(ROOT / "params.yaml"), read_yaml(TINY))
    return project_of(folder, merged(tiny, changes or {}))


def default_project(folder: Path, changes: Mapping[str, Any]) -> Project:
    """A clone in `folder / project` with the parameters that ship, but for what a user changes."""
    return project_of(folder, merged(read_yaml(ROOT / "params.yaml"), changes))


def project_of(folder: Path, params: Mapping[str, Any]) -> Project:
    """A clone in `folder / project` with these parameters, under git as the real one is."""
    root = folder / "project"
    for place in ("ddpm_core", "pipelines", "infra"):
        shutil.copytree(ROOT / place, root / place, ignore=shutil.ignore_patterns("__pycache__"))
    for place in ("dvc.yaml", "accepted.json", ".dvcignore", ".gitignore", "pyproject.toml"):
        shutil.copyfile(ROOT / place, root / place)
    (root / "data").mkdir()
    shutil.copyfile(ROOT / "data" / ".gitignore", root / "data" / ".gitignore")
    shutil.copytree(ROOT / ".dvc" / "plots", root / ".dvc" / "plots")
    for place in ("config", ".gitignore"):
        shutil.copyfile(ROOT / ".dvc" / place, root / ".dvc" / place)
    write_yaml(root / "params.yaml", params)
    project = Project(root, folder / "home")
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("add", ".")
    project.git("commit", "--quiet", "--message=start")
    return project


def kept_copy(project: Project, folder: Path) -> Project:
    """A copy of a project with its outputs, cache and state, free to be changed."""
    shutil.copytree(project.root, folder / "project", symlinks=True)
    if project.home.exists():
        shutil.copytree(project.home, folder / "home", symlinks=True)
    return Project(folder / "project", folder / "home")
