"""Shared by the commands: find the project, check its parameters, say what a command does."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ParamsError

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths

Verbs = Any  # argparse's own type for this is private


def sentence(text: str) -> str:
    """The text of a verb as a sentence: a capital at its beginning, a full stop at its end."""
    return text[:1].upper() + text[1:] + "."


def project_paths(args: argparse.Namespace) -> "Paths":
    """The project of --project, or the nearest one from the working directory upwards."""
    from pipelines.paths import Paths

    if args.project is not None:
        root = Path(args.project)
        if not is_project(root):
            raise ParamsError(f"--project {args.project}: must be a folder that holds params.yaml and dvc.yaml")
        return Paths.of(root)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if is_project(folder):
            return Paths.of(folder)
    raise ParamsError(
        f"no params.yaml beside a dvc.yaml in {here} or above it; go to the project's folder or give --project FOLDER"
    )


def is_project(folder: Path) -> bool:
    return (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file()


def checked_params(paths: "Paths", *, computes: bool = False) -> "Params":
    """All of params.yaml, or one error with all its faults.

    For a command that computes, first sets the number of threads, which numpy and torch read when they are imported.
    """
    from pipelines.params import load_params, read_yaml
    from pipelines.runtime.threads import settle

    runtime = read_yaml(paths.params).get("runtime")
    asked = runtime.get("threads") if isinstance(runtime, dict) else None
    if computes or asked != "auto":
        settle(asked)
    return load_params(paths.params)
