"""Sections of params.yaml, as JSON, to the dataclasses of a configuration."""

import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def built(kind: Any, value: Any) -> Any:
    """A value of JSON as the type that a configuration has; keys that this version does not know are left out."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {each.name for each in fields(kind)} & set(value)
        return kind(**{name: built(hints[name], value[name]) for name in known})  # type: ignore[operator]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(inner, value)
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(built(each, item) for each, item in zip(kinds, value, strict=True))
    return float(value) if kind is float else value


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None:
        return None
    for kind in kinds:
        if is_dataclass(kind) and isinstance(value, dict):
            said = get_type_hints(kind).get("kind")
            if said is None or get_origin(said) is not Literal or value.get("kind") in get_args(said):
                return built(kind, value)
        elif get_origin(kind) is tuple and isinstance(value, list):
            return built(kind, value)
    return float(value) if float in kinds and isinstance(value, int) and int not in kinds else value
