"""Parses plain values into dataclasses, and collects all faults instead of stopping at the first."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from string import punctuation
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ddpm_core.checks import failures
from ddpm_core.errors import ParamsError

FAULTY = object()  # marks a value that could not be parsed; its fault is recorded already


class Faults:
    """The faults found so far, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.of_another_version = False  # a key is missing or unknown

    def add(self, where: str, text: str) -> None:
        self.lines.append(f"{where}: {text}" if where else text)

    def raise_if_any(self, source: str, mending: str = "") -> None:
        """`mending` is said where a key is missing or unknown."""
        if self.lines:
            count = "1 value is" if len(self.lines) == 1 else f"{len(self.lines)} values are"
            told = [*self.lines, *([mending] if mending and self.of_another_version else [])]
            raise ParamsError(f"{source}: {count} not allowed; nothing was started\n  " + "\n  ".join(told))


def parse(kind: Any, value: Any, where: str) -> Any:
    """A mapping to a dataclass, or to a union of them, checked as params.yaml is; `where` names its source."""
    faults = Faults()
    config = parse_value(kind, value, "", faults)
    faults.raise_if_any(where)
    return config


def parse_value(kind: Any, value: Any, where: str, faults: Faults) -> Any:
    """A value of the type `kind`, or FAULTY after recording why not."""
    if is_dataclass(get_origin(kind) or kind):
        return parse_fields(kind, value, where, faults)
    members = dataclasses_of(kind)
    if members:
        if value is None and NoneType in get_args(kind):
            return None
        return _parse_union(members, value, where, faults)
    if get_origin(kind) in (list, tuple) and any(_holds_dataclass(item) for item in get_args(kind)):
        return _parse_items(kind, value, where, faults)
    return _parse_leaf(kind, value, where, faults)


def parse_kept(kind: Any, kept: Mapping[str, Any], where: str) -> Any:
    """A configuration stored with a model by any version; without a `kind` the first member of the union."""
    members: list[Any] = [kind] if is_dataclass(kind) else dataclasses_of(kind)
    chosen = next((member for member in members if kept.get("kind") in kinds_of(member)), members[0])
    return parse(kind, chosen.read(kept), where)


def parse_fields(kind: Any, value: Any, where: str, faults: Faults) -> Any:
    """A dataclass from a mapping that names each of its fields and no other."""
    hints, kind = hints_of(kind), get_origin(kind) or kind
    if not isinstance(value, Mapping):
        faults.add(where, f"must be a mapping with {_names(kind)}, got {_shown(value)}")
        return FAULTY
    known = [field.name for field in fields(kind)]
    before = len(faults.lines)
    unknown_keys(value, known, where, faults)
    made: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in value:
            item = parse_value(hints[field.name], value[field.name], _join(where, field.name), faults)
            if item is not FAULTY:
                made[field.name] = item
        elif field.default is MISSING and field.default_factory is MISSING:
            missing(hints[field.name], _join(where, field.name), faults)
    for line in failures(getattr(kind, "__checks__", {}), made, f"{where}." if where else ""):
        faults.lines.append(line)
    if len(faults.lines) > before:
        return FAULTY
    try:
        return kind(**made)
    except ParamsError as error:  # checks of several fields
        faults.add(where, str(error))
        return FAULTY


def hints_of(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; of a generic one, such as `TrainConfig[AugmentConfig]`, with its argument."""
    origin = get_origin(kind)
    if origin is None:
        return get_type_hints(kind)
    given = dict(zip(origin.__parameters__, get_args(kind), strict=True))
    return {name: given.get(hint, hint) for name, hint in get_type_hints(origin).items()}


def unknown_keys(value: Mapping[str, Any], known: Iterable[str], where: str, faults: Faults) -> None:
    """Record every unknown key, with the nearest known one."""
    names = list(known)
    for key in value:
        if key not in names:
            hint = get_close_matches(str(key), names, n=1)
            text = f"did you mean {hint[0]!r}?" if hint else f"known here: {', '.join(names) or 'none'}"
            faults.add(_join(where, key), f"unknown key; {text}")
            faults.of_another_version = True


def missing(kind: Any, where: str, faults: Faults) -> None:
    """Record that a key is missing, and what it must be."""
    faults.add(where, f"missing; it must be {type_text(kind)}")
    faults.of_another_version = True


def _parse_union(members: list[Any], value: Any, where: str, faults: Faults) -> Any:
    if len(members) == 1:
        return parse_fields(members[0], value, where, faults)
    kinds = {name: member for member in members for name in kinds_of(member)}
    allowed = ", ".join(kinds)
    if not isinstance(value, Mapping):
        faults.add(where, f"must be a mapping with a `kind` ({allowed}), got {_shown(value)}")
        return FAULTY
    if "kind" not in value:
        faults.add(_join(where, "kind"), f"missing; it must be one of {allowed}")
        return FAULTY
    name = value["kind"]
    if not isinstance(name, str) or name not in kinds:
        hint = get_close_matches(str(name), kinds, n=1)
        faults.add(
            _join(where, "kind"),
            f"must be one of {allowed}, got {_shown(name)}" + (f"; did you mean {hint[0]!r}?" if hint else ""),
        )
        return FAULTY
    return parse_fields(kinds[name], value, where, faults)


def _parse_items(kind: Any, value: Any, where: str, faults: Faults) -> Any:
    if not isinstance(value, list | tuple):
        faults.add(where, f"must be a list, got {_shown(value)}")
        return FAULTY
    inner = get_args(kind)[0]
    items = [parse_value(inner, item, f"{where}[{i}]", faults) for i, item in enumerate(value)]
    return FAULTY if any(item is FAULTY for item in items) else get_origin(kind)(items)


def _parse_leaf(kind: Any, value: Any, where: str, faults: Faults) -> Any:
    try:
        return _adapter(kind).validate_json(json.dumps(value, default=str))
    except ValidationError:
        text = f"must be {type_text(kind)}, got {_shown(value)}"
        if isinstance(value, str) and get_origin(kind) is Literal:
            hint = get_close_matches(value, [str(item) for item in get_args(kind)], n=1)
            text += f"; did you mean {hint[0]!r}?" if hint else ""
        faults.add(where, text)
        return FAULTY


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def dataclasses_of(kind: Any) -> list[Any]:
    if get_origin(kind) not in (Union, UnionType):
        return []
    return [item for item in get_args(kind) if is_dataclass(item)]


def _holds_dataclass(kind: Any) -> bool:
    return is_dataclass(kind) or bool(dataclasses_of(kind))


def kinds_of(member: Any) -> tuple[str, ...]:
    return get_args(get_type_hints(member)["kind"])


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _names(kind: Any) -> str:
    return ", ".join(field.name for field in fields(kind)) or "no keys"


def _shown(value: Any) -> str:
    text = repr(value)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"{shown} ({type(value).__name__})"


_PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}


def type_text(kind: Any) -> str:
    """A type in words: `int` is a whole number, a Literal one of its values."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(item) if str(item).strip(punctuation) else repr(item) for item in args)
    if origin in (Union, UnionType):
        members = dataclasses_of(kind)
        if members and all("kind" in get_type_hints(member) for member in members):
            texts = ["a mapping with a `kind` (" + ", ".join(k for m in members for k in kinds_of(m)) + ")"]
            texts += [type_text(item) for item in args if item not in members]
        else:
            texts = [type_text(item) for item in args]
        return " or ".join(texts)
    if origin is tuple and Ellipsis not in args:
        return f"a list of {len(args)} values ({', '.join(type_text(item) for item in args)})"
    if origin in (list, tuple):
        return f"a list ({type_text(args[0])} each)"
    if origin is dict:
        return f"a mapping ({type_text(args[1])} by name)"
    if is_dataclass(origin or kind):
        return f"a mapping with {_names(origin or kind)}"
    return getattr(kind, "__name__", str(kind))
