"""Write docs/configuration.md, docs/commands.md and the settings in docs/serving/operate.md: `make docs`.

What a key allows comes from the dataclasses, its default from the examples, and its meaning from the comment of an
example that has this very table, or from meanings.yaml. A comment never stands for a key of another table. The text
above the tables is configuration_head.md.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pipelines.kinds import KINDS
from pipelines.params import read_yaml, section_types, stage_sections
from pipelines.parsing import dataclasses_of, hints_of, kinds_of, type_text
from pipelines.projects.presets import presets
from pipelines.serving.ops.settings import table as settings_table

ROOT = Path(__file__).resolve().parent.parent
DIGITS, INIT = "digits", "ddpm init"

TABLE = "\n| key | allowed | default | meaning |\n|---|---|---|---|\n"


@dataclass(frozen=True)
class Example:
    """A file with values and comments, and which dataclass each of its mappings is, by dotted path."""

    name: str
    values: dict[str, Any]
    notes: dict[str, str]
    tables: dict[str, Any]

    @classmethod
    def of(cls, name: str, file: Path, kind: str) -> "Example":
        values = read_yaml(file)
        types = section_types(kind)
        found: dict[str, Any] = {}
        for section, value in values.items():
            _tables_of(types[section], value, section, found)
        return cls(name, values, comments(file.read_text(encoding="utf-8")), found)

    def value(self, key: str) -> Any:
        """The value under a dotted key."""
        value: Any = self.values
        for part in key.split("."):
            value = value[part]
        return value


def _tables_of(kind: Any, value: Any, where: str, found: dict[str, Any]) -> None:
    if not isinstance(value, dict):
        return
    members = [kind] if is_dataclass(get_origin(kind) or kind) else dataclasses_of(kind)
    if len(members) > 1:
        members = [member for member in members if value.get("kind") in kinds_of(member)]
    if len(members) != 1:
        return
    found[where] = get_origin(members[0]) or members[0]
    for name, hint in hints_of(members[0]).items():
        if name in value:
            _tables_of(hint, value[name], f"{where}.{name}", found)


@cache
def examples() -> tuple[Example, ...]:
    """The default example, the others, and what `ddpm init` makes section source of."""
    files = sorted(presets().items(), key=lambda item: item[0] != DIGITS)
    whole = [Example.of(name, file, read_yaml(file)["kind"]) for name, file in files]
    sources = sorted((ROOT / "pipelines" / "kinds").glob("*/profiling/*.yaml"), key=lambda path: path.name)
    return (*whole, *(Example.of(INIT, file, file.stem if file.stem in KINDS else "pictures") for file in sources))


@cache
def meanings() -> Mapping[str, Mapping[str, str]]:
    """meanings.yaml: what keys mean that no example comments, by dataclass or by the path of a table."""
    return read_yaml(Path(__file__).with_name("meanings.yaml"))


def meaning(cls: Any, where: str, name: str) -> str:
    """What a key of a table means."""
    key, cls = f"{where}.{name}", get_origin(cls) or cls
    exact = [each.notes[key] for each in examples() if each.tables.get(where) is cls and key in each.notes]
    if exact and examples()[0].tables.get(where) is cls:
        return exact[0]
    if (written := _written(cls, where, name)) is not None:
        return written
    elsewhere = (
        each.notes[f"{other}.{name}"]
        for each in examples()
        for other, its in each.tables.items()
        if its is cls and f"{other}.{name}" in each.notes
    )
    return next(iter(exact), next(elsewhere, ""))


def _written(cls: Any, where: str, name: str) -> str | None:
    """What meanings.yaml says of a key, of its table or of a base class of its table."""
    for place in (where, *(f"{each.__module__}.{each.__qualname__}" for each in cls.__mro__)):
        if name in (told := meanings().get(place, {})):
            return told[name]
    return None


def shown_value(cls: Any, where: str, name: str) -> str:
    """The value of an example that has this very table."""
    cls = get_origin(cls) or cls
    for each in examples():
        if each.tables.get(where) is cls:
            value = each.value(f"{where}.{name}")
            if value == "PATH":
                break
            return _value(value) + ("" if each.name == DIGITS else f" ({each.name})")
    return "required"


def _value(value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"`kind: {value['kind']}`" if "kind" in value else "see its table"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return '""' if value == "" else str(value)


def page() -> str:
    """The whole page."""
    readers: dict[str, list[str]] = {}
    for stage, sections in stage_sections(ROOT).items():
        for section in sections:
            readers.setdefault(section, []).append(stage)
    parts = [Path(__file__).with_name("configuration_head.md").read_text(encoding="utf-8")]
    for section in section_types(next(iter(KINDS))):
        stages = ", ".join(readers.get(section, [])) or "no stage: it changes where work is done, not what comes of it"
        parts.append(f"\n## {section}\n\nRead by: {stages}.\n")
        of_each = {kind: section_types(kind)[section] for kind in KINDS}
        plain = {
            kind: get_origin(type_) if is_dataclass(get_origin(type_)) else type_ for kind, type_ in of_each.items()
        }
        many = len({str(type_) for type_ in plain.values()}) > 1
        for kind, type_ in of_each.items():
            first = next(other for other, its in plain.items() if its == plain[kind])
            parts += [f"\n### {section} of {kind}\n"] if many else []
            if first == kind:
                parts += section_tables(section, type_)
            elif type_ != of_each[first]:  # a generic dataclass: what differs is the type of a field
                mine, its = hints_of(type_), hints_of(of_each[first])
                for name in (name for name in mine if mine[name] != its[name]):
                    parts += [f"\nOf {kind}:\n", *section_tables(f"{section}.{name}", mine[name])]
    return "".join(parts)


def section_tables(section: str, type_: Any) -> Iterator[str]:
    """The tables of a section of one type; a table that several kinds share stands once."""
    seen: set[tuple[str, Any]] = set()
    if get_origin(type_) is Literal:
        digits = examples()[0]
        cells = (type_text(type_), _value(digits.value(section)), linked(digits.notes[section]))
        yield f"{TABLE}| `{section}` | {' | '.join(map(_cell, cells))} |\n"
    for title, cls in tables(type_, section):
        if (title, cls) in seen:
            continue
        seen.add((title, cls))
        where = title.split("`")[1] if title else section
        origin = get_origin(cls) or cls
        more = _written(origin, where, "page")
        heading = [f"{title}{about(cls)}" if title else "", f"More: {linked(more)}." if more else ""]
        line = " ".join(part if part.endswith(".") else f"{part}." for part in heading if part) if more else heading[0]
        yield (f"\n{line}\n" if line else "") + (TABLE if fields(origin) else "")
        for field in fields(origin):
            yield row(cls, where, field.name)


def about(cls: Any) -> str:
    """The first line of a dataclass's own docstring."""
    cls = get_origin(cls) or cls
    text = (cls.__doc__ or "").strip().split("\n")[0]
    return "" if text.startswith(f"{cls.__name__}(") or not text else f": {text}"


def tables(kind: Any, where: str) -> Iterator[tuple[str, Any]]:
    """(title, dataclass) for a section and for all that lies inside it."""
    single = is_dataclass(get_origin(kind) or kind)
    for cls in [kind] if single else dataclasses_of(kind):
        many = not single and len(dataclasses_of(kind)) > 1
        label = f"`{where}`" + (f" with `kind: {kinds_of(cls)[0]}`" if many else "")
        yield ("" if label == f"`{where}`" and "." not in where else f"**{label}**"), cls
        hints = hints_of(cls)
        for field in fields(get_origin(cls) or cls):
            hint = hints[field.name]
            if get_origin(hint) in (tuple, list):
                hint = get_args(hint)[0]
            if is_dataclass(hint) or dataclasses_of(hint):
                yield from tables(hint, f"{where}.{field.name}")


def row(cls: Any, where: str, name: str) -> str:
    hint = hints_of(cls)[name]
    allowed, told = type_text(hint), meaning(cls, where, name)
    if name == "kind" and len(get_args(hint)) == 1:
        told = "chooses this table"
    check = getattr(get_origin(cls) or cls, "__checks__", {}).get(name)
    if check is not None:
        allowed += f"; {check[1]}"
    usual = getattr(cls, "conventional", {}).get(name)
    if usual is not None:
        told += f"; usually {_plain(list(usual) if isinstance(usual, tuple) else usual)}"
    cells = (allowed, shown_value(cls, where, name), linked(told))
    return f"| `{where}.{name}` | {' | '.join(map(_cell, cells))} |\n"


def linked(text: str) -> str:
    """The text with links for its paths of pages."""
    return re.sub(r"docs/((?:\w+/)*)([\w-]+)\.md(#[\w-]+)?", lambda m: f"[{m[2]}]({m[1]}{m[2]}.md{m[3] or ''})", text)


def comments(text: str) -> dict[str, str]:
    """What params.yaml says beside each key, by dotted key; a comment that goes on on the next line is joined."""
    notes: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    last = ""
    for line in text.splitlines():
        body, _, note = line.partition("#")
        if not body.strip():
            if last and note and line[0] == " ":
                notes[last] = f"{notes.get(last, '')} {note.strip()}".strip()
            continue
        indent = len(body) - len(body.lstrip())
        path = [step for step in path if step[0] < indent] + [(indent, body.strip().split(":")[0])]
        last = ".".join(name for _, name in path)
        if note:
            notes[last] = note.strip()
    return notes


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_settings(text: str) -> str:
    """docs/serving/operate.md with the table of the service's settings as it is now."""
    before, start, rest = text.partition("<!-- options: written by `make docs` -->\n")
    _, end, after = rest.partition("<!-- /options -->")
    return f"{before}{start}{settings_table()}{end}{after}"


if __name__ == "__main__":
    from commands_page import page as commands_page  # beside this file

    (ROOT / "docs" / "configuration.md").write_text(page(), encoding="utf-8")
    (ROOT / "docs" / "commands.md").write_text(commands_page(), encoding="utf-8")
    operate = ROOT / "docs" / "serving" / "operate.md"
    operate.write_text(with_settings(operate.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stderr.write("docs/configuration.md, docs/commands.md, docs/serving/operate.md\n")
