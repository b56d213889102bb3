"""Compares dvc.lock with the project: files by their digests, parameters by their values, stages by their commands.

It also gives the parameters with which each stage ran, from dvc.lock: params.yaml may have changed since.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ddpm_core.diff import ABSENT, unequal
from ddpm_core.errors import ParamsError
from pipelines.params import read_yaml
from pipelines.paths import Paths
from pipelines.versioning.dvc_repo import DvcRepo

NAME = "dvc.lock"
_SCHEMA = "2.0"
_LISTS = ("deps", "outs")
_HASHED = ("out/", "data/source.json")  # every byte of these is read, whatever DVC has cached
_PARAMS = "params.yaml"

MEND = (
    "Run `ddpm run` (or `dvc repro`): what differs is made again or restored. If a file is still named after that, "
    "it has its old time and size, so that DVC treats it as unchanged: delete it and run again. `git checkout "
    "dvc.lock` restores an edited lock."
)


def unfinished(stage: str) -> str:
    """The line for a stage that dvc.lock does not name."""
    return f"{NAME}: must name stage {stage}, which has not finished here"


def differences(paths: Paths) -> list[str]:
    """A line for each file, parameter or stage that differs from dvc.lock, with both values."""
    try:
        lock = read_yaml(paths.root / NAME)
        entries = lock["stages"]
        held = {stage: _by_path(stage, entry) for stage, entry in entries.items()}
        _check_kind(held)
    except ParamsError as error:
        return [f"{NAME}: must be the record of the last run: {error}"]
    except (KeyError, TypeError, AttributeError) as error:
        return [f"{NAME}: must be as DVC writes it, got other content ({type(error).__name__}: {error})"]
    root = {key: value for key, value in lock.items() if key != "stages"}
    found = [f"{NAME}: must say schema: '{_SCHEMA}' and stages, got {root}"] if root != {"schema": _SCHEMA} else []
    try:
        now = {stage: _by_path(stage, entry) for stage, entry in DvcRepo(paths.root).lock_now(_HASHED).items()}
    except ParamsError as error:
        return [*found, f"{NAME}: {error}"]
    found += [f"{NAME}: must name the stages of dvc.yaml alone, got {stage!r}" for stage in held if stage not in now]
    found += [unfinished(stage) for stage in now if stage not in held]
    told: set[str] = set()
    for kind in reversed(_LISTS):  # for a file that is an output and a dependency, name the stage that made it
        for stage in (name for name in now if name in held):
            for key, line in _of_files(stage, kind, held[stage][kind], now[stage][kind]):
                if key not in told:
                    told.add(key)
                    found.append(line)
    for stage in (name for name in now if name in held):
        found += _of_stage(stage, held[stage], now[stage])
    return found


def _by_path(stage: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the lock with its lists of files as mappings."""
    found = dict(entry)
    for kind in _LISTS:
        listed = entry.get(kind) or []
        found[kind] = {file["path"]: dict(file) for file in listed}
        if len(found[kind]) != len(listed) or not all(isinstance(path, str) for path in found[kind]):
            raise KeyError(f"a path of stage {stage} is listed twice, or is not a path")
    found["params"] = {file: dict(values) for file, values in (entry.get("params") or {}).items()}
    return found


def _check_kind(held: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse digests of older versions of DVC, which ignore line ends."""
    for stage, entry in held.items():
        for path, file in [*entry["deps"].items(), *entry["outs"].items()]:
            if file.get("hash") != "md5":
                raise KeyError(f"{path} of stage {stage} must say hash: md5")


def _of_files(stage: str, kind: str, held: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For each file that differs a key, equal for equal differences, and a line."""
    what = "an output" if kind == "outs" else "a dependency"
    for path in sorted(held.keys() | now.keys()):
        was, found = held.get(path), now.get(path)
        if was is None:
            yield f"{stage} {path}", f"{NAME}: must name {path} as {what} of stage {stage}, and it does not"
        elif found is None:
            yield f"{stage} {path}", f"{NAME}: must not name {path} as {what} of stage {stage}, for dvc.yaml does not"
        elif was != found:
            wanted, came = _words(was, found), _words(found, was)
            yield (
                f"{was} {found}",
                f"{path}: must have {wanted}, which {NAME} says of {what} of stage {stage}, got {came}",
            )


def _of_stage(stage: str, held: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, was, found in unequal(held["params"], now["params"]):
        file = next((file for file in now["params"] if name.startswith(f"{file}.")), _PARAMS)
        key = name.removeprefix(f"{file}.")
        yield f"{file}: {key} must be {_value(was)}, with which stage {stage} ran ({NAME}), got {_value(found)}"
    was_rest, now_rest = (
        {key: value for key, value in each.items() if key not in (*_LISTS, "params")} for each in (held, now)
    )
    for name, was, found in unequal(was_rest, now_rest):
        yield f"{NAME}: {name} of stage {stage} must be {_value(found)}, got {_value(was)}"


def _words(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What one entry says of a file and the other does not."""
    if "md5" not in one and "md5" in other:
        return "no such file" if len(one) <= 2 else f"no digest {dict(one)}"
    return ", ".join(f"{key} {value}" for key, value in one.items() if other.get(key, ABSENT) != value) or "no more"


def _value(value: Any) -> str:
    return "absent" if value is ABSENT else repr(value)
