"""Write docs/configuration.md from the dataclasses and the comments of params.yaml: `make docs`."""

import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pipelines.kinds import KINDS
from pipelines.params import read_yaml, section_types, stage_sections
from pipelines.parsing import dataclasses_of, hints_of, kinds_of, type_text
from pipelines.projects.presets import presets
from pipelines.serving.ops.settings import table as settings_table

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Configuration

Every key of `params.yaml`. This page is written by `make docs` from the dataclasses in the code and the comments in
the file, and a test holds it against the code; the values themselves are in `params.yaml` alone.

The file carries every value: the code has no defaults, for DVC could not see a default that hides in code. A key that
is unknown, missing, of the wrong type or out of range is told with all others before anything starts, exit code 2:

```
$ ddpm run
ddpm run: params.yaml: 2 values are not allowed; nothing was started
  train.lr: must be above 0, got -1.0
  train.stepps: unknown key; did you mean 'steps'?
```

`ddpm params` checks the file and shows every value by its dotted key. `dvc params diff` shows what changed since the
last commit. `dvc exp run -S train.lr=1e-3` writes another value into the file and runs; it needs a commit in git, and
`git restore params.yaml` undoes it. Numbers follow YAML 1.2: `2e-4` is a number.
Where a section or a key is a choice, `kind` makes it, and each kind has the keys of its own table.

Addresses and secrets are no parameters. They come from the environment:

| variable | meaning |
|---|---|
| `DDPM_HOME` | where checkpoints, MLflow's store, Data Docs and logs lie (default: `.ddpm`); from the project's root |
| `MLFLOW_TRACKING_URI` | an MLflow server in place of the local store |
| `PREFECT_API_URL` | a Prefect server in place of a temporary one |
| `OMP_NUM_THREADS` | overrides `runtime.threads`, in a training that goes on too ([training](training.md#threads)) |
"""

TABLE = "\n| key | allowed | meaning |\n|---|---|---|\n"
NOTED_SOURCES = (
    "EmbeddedDigits",
    "TwoMoons",
    "ElectricityDemand",
    "BeijingAir",
)  # the comments of section source are about these


def page() -> str:
    """The whole page."""
    readers: dict[str, list[str]] = {}
    for stage, sections in stage_sections(ROOT).items():
        for section in sections:
            readers.setdefault(section, []).append(stage)
    parts = [HEAD]
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
            notes = comments(example_of(kind).read_text(encoding="utf-8"))
            parts += [f"\n### {section} of {kind}\n"] if many else []
            if first == kind:
                parts += section_tables(section, type_, notes)
            elif type_ != of_each[first]:  # a generic dataclass: what differs is the type of a field
                mine, its = hints_of(type_), hints_of(of_each[first])
                for name in (name for name in mine if mine[name] != its[name]):
                    parts += [f"\nOf {kind}:\n", *section_tables(f"{section}.{name}", mine[name], notes)]
    return "".join(parts)


def example_of(kind: str) -> Path:
    """A params.yaml whose comments say what the keys mean."""
    return next((file for file in presets().values() if _read(file)[0]["kind"] == kind), ROOT / "params.yaml")


def section_tables(section: str, type_: Any, notes: dict[str, str]) -> Iterator[str]:
    """The tables of a section of one type; a table that several kinds share stands once."""
    seen: set[tuple[str, Any]] = set()
    if get_origin(type_) is Literal:
        yield f"{TABLE}| `{section}` | {_cell(type_text(type_))} | {_cell(notes.get(section, ''))} |\n"
    for title, cls in tables(type_, section):
        if (title, cls) in seen:
            continue
        seen.add((title, cls))
        where = title.split("`")[1] if title else section
        yield (f"\n{title}{about(cls)}\n" if title else "") + (TABLE if fields(get_origin(cls) or cls) else "")
        for field in fields(get_origin(cls) or cls):
            yield row(cls, where, field.name, _of_the_same_kind(cls, where) or notes)


def _of_the_same_kind(cls: Any, where: str) -> dict[str, str] | None:
    """The comments of a params.yaml that chooses this very table by `kind`."""
    for file in presets().values():
        value, notes = _read(file)
        for key in where.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict) and "kind" in value and value["kind"] in kinds_of(cls):
            return notes
    return None


@cache
def _read(file: Path) -> tuple[Any, dict[str, str]]:
    """The values and the comments of a params.yaml."""
    return read_yaml(file), comments(file.read_text(encoding="utf-8"))


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


def row(cls: Any, where: str, name: str, notes: dict[str, str]) -> str:
    hint = hints_of(cls)[name]
    allowed = type_text(hint)
    if name == "kind":
        return f"| `{where}.{name}` | {_cell(allowed)} | chooses this table |\n"
    check = getattr(get_origin(cls) or cls, "__checks__", {}).get(name)
    if check is not None:
        allowed += f"; {check[1]}"
    key = f"{where}.{name}"
    note = notes.get(key, "") if where != "source" or cls.__name__ in NOTED_SOURCES else "see [data](data.md)"
    return f"| `{key}` | {_cell(allowed)} | {_cell(note)} |\n"


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
    read_yaml(ROOT / "params.yaml")
    (ROOT / "docs" / "configuration.md").write_text(page(), encoding="utf-8")
    operate = ROOT / "docs" / "serving" / "operate.md"
    operate.write_text(with_settings(operate.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stderr.write("docs/configuration.md, docs/serving/operate.md\n")
