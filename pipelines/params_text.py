"""Values written into the text of a params.yaml: comments, order and all other lines stay as they are."""

import json
from collections.abc import Mapping
from typing import Any

from ddpm_core.errors import ParamsError


def with_values(text: str, section: str, values: Mapping[str, Any]) -> str:
    """The text with these values as the mapping under a dotted key. Keys that they lack go; new keys come last."""
    lines = text.splitlines()
    first = _place(lines, section)
    body = lines[first].partition("#")[0].rstrip()
    if not body.endswith(":"):  # a mapping on one line
        lines[first] = _line(body[: len(body) - len(body.lstrip())] + section.rpartition(".")[2], values, lines[first])
        return "\n".join(lines) + "\n"
    last = first + 1
    while last < len(lines) and (_indent(lines[last]) > _indent(lines[first]) or not lines[last].strip()):
        last += 1
    inner = next(line for line in lines[first + 1 : last] if _is_key(line))
    indent = inner[: _indent(inner)]
    kept: list[str] = []
    keeps, found = True, set[str]()
    for line in lines[first + 1 : last]:
        if _is_key(line) and _indent(line) == len(indent):
            key = line.strip().partition(":")[0]
            keeps = key in values
            found.add(key)
            line = _line(indent + key, values[key], line) if keeps else line
        if keeps:
            kept.append(line)
    kept += [f"{indent}{key}: {_text(value)}" for key, value in values.items() if key not in found]
    return "\n".join([*lines[: first + 1], *kept, *lines[last:]]) + "\n"


def _place(lines: list[str], section: str) -> int:
    """The line of a dotted key."""
    path: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if _is_key(line):
            path = [step for step in path if step[0] < _indent(line)]
            path.append((_indent(line), line.strip().partition(":")[0]))
            if ".".join(name for _, name in path) == section:
                return number
    raise ParamsError(f"params.yaml: must have the key {section} in a block of its own to be written; add it")


def _line(key: str, value: Any, before: str) -> str:
    """The line of a key with another value, its comment in the same column."""
    body, mark, comment = before.partition("#")
    made = f"{key}: {_text(value)}"
    return made if not mark else f"{made:<{max(len(body), len(made) + 1)}}#{comment}"


def _text(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _is_key(line: str) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith(("#", "- ")) and ":" in text


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
