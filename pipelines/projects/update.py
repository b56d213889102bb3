"""Brings a project made by an older version to this one: params.yaml with keys that are new, gone or renamed; dvc.yaml.

The user's values stay. New keys come with the values and comments of the preset that has the same choices of `kind`.
"""

import difflib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_origin

from ruamel.yaml.comments import CommentedMap

from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_write_text
from pipelines.params import section_types
from pipelines.parsing import dataclasses_of, hints_of, kinds_of
from pipelines.projects.code import project_graph
from pipelines.projects.create import ACCEPTED, NOTHING_ACCEPTED
from pipelines.projects.params_text import read_text, written
from pipelines.projects.presets import presets

_KINDS = Path(__file__).resolve().parents[1] / "kinds"  # in profiling: sections source of one's own data

# Keys that have another name now, by their dotted names. Both must lie in one mapping.
RENAMED = {
    "gate.min_images": "gate.min_samples",
    "partition.size": "partition.pictures",
    "shard.images_per_shard": "shard.examples_per_shard",
    "shard.images_per_block": "shard.examples_per_block",
    "shard.shuffle_images": "shard.shuffle_examples",
    "source.size": "source.resolution",
}


@dataclass(frozen=True)
class Changes:
    """Each file that changes, with its text before and after; and what nobody can fill in."""

    files: Mapping[Path, tuple[str, str]]
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files)

    def text(self) -> str:
        parts: list[str] = []
        for path, (before, after) in self.files.items():
            old, new = (each.splitlines(keepends=True) for each in (before, after))
            parts += difflib.unified_diff(old, new, f"{path.name} (now)", f"{path.name} (this version)", n=1)
        parts += [f"{key}: must be given by you; no preset has it\n" for key in self.unknown]
        return "".join(parts)

    def write(self) -> None:
        for path, (_, after) in self.files.items():
            atomic_write_text(path, after)


def updated(folder: Path) -> Changes:
    """What would change in a project; ParamsError where the folder is none."""
    params, graph = folder / "params.yaml", folder / "dvc.yaml"
    if not (params.is_file() and graph.is_file()):
        raise ParamsError(f"{folder}: must be a project, a folder that holds params.yaml and dvc.yaml")
    before = params.read_text(encoding="utf-8")
    after, unknown = updated_params(before)
    texts = {params: (before, after)}
    if not graph.is_symlink():  # a project of an older kind, whose graph is a link into the code's folder
        texts[graph] = (graph.read_text(encoding="utf-8"), updated_graph(graph.read_text(encoding="utf-8")))
    if not (folder / ACCEPTED).exists():
        texts[folder / ACCEPTED] = ("", NOTHING_ACCEPTED)
    return Changes({path: pair for path, pair in texts.items() if pair[0] != pair[1]}, tuple(unknown))


def updated_params(text: str) -> tuple[str, list[str]]:
    """The text with this version's keys, and the keys that no preset can fill in."""
    whole = read_text(text)
    known = section_types("pictures")
    kind = whole.get("kind")
    if kind not in known["kind"].__args__:
        raise ParamsError(f"params.yaml: kind must be one of {', '.join(known['kind'].__args__)}, got {kind!r}")
    files = [*presets().values(), *sorted(_KINDS.glob("*/profiling/*.yaml"))]
    models = [read_text(file.read_text(encoding="utf-8")) for file in files]
    models.sort(key=lambda model: model.get("kind") != kind)  # those of the same kind of data first
    update = _Update(models, [])
    update.mapping(whole, section_types(kind), ())
    return (written(whole) if update.changed else text), update.unknown


def updated_graph(text: str) -> str:
    """This version's stages; stages of the user's own stay, at the end."""
    now, mine = read_text(project_graph()), read_text(text)
    own = {name: stage for name, stage in (mine.get("stages") or {}).items() if name not in now["stages"]}
    if not own:
        return project_graph()
    now["stages"].update(own)
    return written(now)


class _Update:
    """One walk over a params.yaml and the types that it must have."""

    def __init__(self, models: list[CommentedMap], unknown: list[str]) -> None:
        self.models, self.unknown, self.changed = models, unknown, False

    def mapping(self, value: CommentedMap, types: Mapping[str, Any], way: tuple[str, ...]) -> None:
        for key in [key for key in value if key not in types]:
            self._rename_or_drop(value, key, types, way)
        for place, key in enumerate(types):
            if key not in value:
                self._add(value, key, place, types, way)
        for key, kind in types.items():
            if isinstance(value.get(key), CommentedMap) and (inner := _fields(kind, value[key])) is not None:
                self.mapping(value[key], inner, (*way, key))

    def _rename_or_drop(self, value: CommentedMap, key: str, types: Mapping[str, Any], way: tuple[str, ...]) -> None:
        new = RENAMED.get(".".join((*way, key)), "").rpartition(".")[2]
        place = list(value).index(key)
        comment = value.ca.items.get(key)
        held = value.pop(key)
        self.changed = True
        if new in types and new not in value:
            value.insert(place, new, held)
            if comment is not None:
                value.ca.items[new] = comment
        elif place:
            _keep_tail(value, list(value)[place - 1], comment)

    def _add(self, value: CommentedMap, key: str, place: int, types: Mapping[str, Any], way: tuple[str, ...]) -> None:
        """From the preset that has the most in common with this file on the way to the key."""
        fitting = [model for model in (_at(each, way) for each in self.models) if model is not None and key in model]
        fitting = [model for model in fitting if set(model) <= set(types)] or fitting
        if not fitting:
            self.unknown.append(".".join((*way, key)))
            return
        model = max(fitting, key=lambda each: each.get("kind") == value.get("kind"))
        before = [other for other in list(types)[:place] if other in value]
        at = list(value).index(before[-1]) + 1 if before else 0
        value.insert(at, key, deepcopy(model[key]))
        if key in model.ca.items:
            value.ca.items[key] = deepcopy(model.ca.items[key])
        if before and at == len(value) - 1:
            _move_tail(value, before[-1], key)
        self.changed = True


def _fields(kind: Any, value: Mapping[str, Any]) -> dict[str, Any] | None:
    """The types of the keys of a mapping that is of this type; None where it is no dataclass's."""
    members = [kind] if is_dataclass(get_origin(kind) or kind) else dataclasses_of(kind)
    if len(members) > 1:
        members = [member for member in members if value.get("kind") in kinds_of(member)]
    if len(members) != 1:
        return None
    hints = hints_of(members[0])
    return {field.name: hints[field.name] for field in fields(get_origin(members[0]) or members[0])}


def _at(value: Any, way: tuple[str, ...]) -> CommentedMap | None:
    for key in way:
        value = value.get(key) if isinstance(value, CommentedMap) else None
    return value if isinstance(value, CommentedMap) else None


def _tail(comment: Any) -> int | None:
    """Where the empty lines and comment lines below a key begin in its comment; None where there are none."""
    text = "" if comment is None or len(comment) < 3 or comment[2] is None else comment[2].value
    end = text.find("\n")
    return end if 0 <= end < len(text) - 1 else None


def _keep_tail(value: CommentedMap, key: str, dropped: Any) -> None:
    """What stood below a dropped key, such as an empty line, below the one before it."""
    if (start := _tail(dropped)) is None:
        return
    dropped[2].value = dropped[2].value[start:]
    comment = value.ca.items.setdefault(key, dropped)
    if comment is not dropped and _tail(comment) is None:
        comment[2].value = comment[2].value.rstrip("\n") + dropped[2].value


def _move_tail(value: CommentedMap, old: str, new: str) -> None:
    """What stands below the key that was the last one, below the one that is the last now."""
    comment = value.ca.items.get(old)
    if (start := _tail(comment)) is None or (last := value.ca.items.get(new)) is None or _tail(last) is not None:
        return
    last[2].value = last[2].value.rstrip("\n") + comment[2].value[start:]
    comment[2].value = comment[2].value[: start + 1]
