"""The parameters of a run: those with which each stage ran.

A running stage knows its own. Those of other stages come from dvc.lock, if the stage's outputs are the ones that the
lock names; params.yaml is not used, as it may have changed since. Section `runtime` changes no output and no output
records it: a running training knows it, and a rebuilt run marks it as unknown.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ddpm_core.errors import ParamsError
from pipelines.params import Params, RuntimeConfig, Scalar, flat, read_yaml, section_types
from pipelines.parsing import parse
from pipelines.paths import Paths

NOT_RECORDED = "not recorded"
# For each stage that logs, the stages whose parameters it logs.
_TOLD_WITH = {
    "train": ("train",),
    "evaluate": ("prepare", "validate", "shard", "reference", "export", "evaluate"),
    "report": ("report",),
    "gate": ("gate",),
}
_CHUNK = 1 << 20


def told(stage: str, paths: Paths, own: Params | None) -> dict[str, Scalar]:
    """The parameters to log with a stage; `own` are those of the running stage, None for an earlier run."""
    sections: dict[str, Any] = {}
    for name in _TOLD_WITH[stage]:
        if name == stage and own is not None:
            sections |= {key: value for key, value in own.sections().items() if key != "runtime"}
        else:
            sections |= _locked(name, paths)
    if stage == "train" and own is None:
        sections["runtime"] = {field.name: NOT_RECORDED for field in fields(RuntimeConfig)}
    return flat(sections)


def _locked(stage: str, paths: Paths) -> dict[str, Any]:
    """The sections with which a stage ran, from dvc.lock; empty if the present outputs are not the ones it names."""
    try:
        entry = read_yaml(paths.root / "dvc.lock")["stages"][stage]
        values = dict(entry.get("params", {}).get("params.yaml", {}))
        made = [(paths.root / out["path"], out["md5"]) for out in entry["outs"]]
    except (ParamsError, KeyError, TypeError, AttributeError):
        return {}
    # If a stage writes files and folders, the files are enough: the manifest names every datum.
    files = [each for each in made if not each[1].endswith(".dir")] or made
    ignored = _patterns(paths.root / ".dvcignore")
    if not all(_md5(path, ignored) == digest for path, digest in files):
        return {}
    kind = str(read_yaml(paths.params).get("kind"))
    return {name: _parsed(name, value, kind) for name, value in values.items()}


def _parsed(name: str, value: Any, kind: str) -> Any:
    """As the stage parsed it, so that both give the same text; unparsed if today's code cannot read it."""
    try:
        return parse(section_types(kind)[name], value, "dvc.lock")
    except (KeyError, ParamsError):
        return value


def _patterns(file: Path) -> tuple[str, ...]:
    """The names that DVC ignores, from .dvcignore."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return tuple(line.rstrip("/") for line in lines if line and not line.startswith("#"))


def _md5(path: Path, ignored: Sequence[str] = ()) -> str:
    """DVC's digest of a file or a folder; empty if there is none."""
    if path.is_dir():
        listed = [
            {"md5": _md5(file), "relpath": file.relative_to(path).as_posix()}
            for file in path.rglob("*")
            if file.is_file()
            and not any(fnmatch(part, name) for part in file.relative_to(path).parts for name in ignored)
        ]
        text = json.dumps(sorted(listed, key=lambda each: each["relpath"]), sort_keys=True)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
    if not path.is_file():
        return ""
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
