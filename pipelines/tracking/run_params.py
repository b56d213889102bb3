"""The parameters that a run shows: those with which each stage ran.

A stage that runs knows its own. Those of other stages come from dvc.lock, and only where the stage's outputs are the
ones that the lock names; params.yaml may have been edited since, and is never asked. Section `runtime` decides no
output and is recorded in none: the training knows it while it runs, and a run that is rebuilt says that nobody does.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ddpm_core.errors import ParamsError
from pipelines.params import Params, RuntimeConfig, Scalar, flat, parse, read_yaml, section_types
from pipelines.paths import Paths

NOT_RECORDED = "not recorded"
# The stages whose parameters a run is told with which of those that log.
_TOLD_WITH = {
    "train": ("train",),
    "evaluate": ("prepare", "validate", "shard", "reference", "export", "evaluate"),
    "report": ("report",),
    "gate": ("gate",),
}
_CHUNK = 1 << 20


def told(stage: str, paths: Paths, own: Params | None) -> dict[str, Scalar]:
    """The parameters to log with a stage; `own` are those that it sees, None where it ran long ago."""
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
    """The sections with which a stage ran, from dvc.lock; none where it is not known that they made what lies here."""
    try:
        entry = read_yaml(paths.root / "dvc.lock")["stages"][stage]
        values = dict(entry.get("params", {}).get("params.yaml", {}))
        made = [(paths.root / out["path"], out["md5"]) for out in entry["outs"]]
    except (ParamsError, KeyError, TypeError, AttributeError):
        return {}
    # Of a stage that writes files and folders the files are enough: the manifest names every picture.
    files = [each for each in made if not each[1].endswith(".dir")] or made
    ignored = _patterns(paths.root / ".dvcignore")
    if not all(_md5(path, ignored) == digest for path, digest in files):
        return {}
    kind = str(read_yaml(paths.params).get("kind"))
    return {name: _parsed(name, value, kind) for name, value in values.items()}


def _parsed(name: str, value: Any, kind: str) -> Any:
    """As the stage saw it, so that both give the same text; as it stands where today's code reads it no more."""
    try:
        return parse(section_types(kind)[name], value, "dvc.lock")
    except (KeyError, ParamsError):
        return value


def _patterns(file: Path) -> tuple[str, ...]:
    """The names that DVC passes over, as .dvcignore lists them."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return tuple(line.rstrip("/") for line in lines if line and not line.startswith("#"))


def _md5(path: Path, ignored: Sequence[str] = ()) -> str:
    """The digest of a file or a folder as DVC makes it; empty where there is neither."""
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
