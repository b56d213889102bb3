"""Pictures of the examples that validate has something to say about, for Data Docs and the report."""

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_write_bytes, atomic_write_json, atomic_write_text
from ddpm_core.spec import DataSpec
from pipelines.contract.expectations import Finding
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Manifest
from pipelines.kinds.quarantine import shown_name
from pipelines.validation.files import EXAMPLES, Shown, outcome

PAGE = "examples.html"
_GROUPS = 12  # of near duplicates that are shown, the largest
_IN_A_GROUP = 10
_LINK = (
    f'<p style="margin: 1em 2em"><a href="{PAGE}">Pictures: near duplicates, what breaks an expectation, drift</a></p>'
)


def write_examples(
    folder: Path,
    prepared: Path,
    manifest: Manifest,
    findings: Sequence[Finding],
    unlike: Sequence[Any],
    most: int,
) -> list[Shown]:
    """PNGs and their list in `folder`: rows that break an expectation, near duplicates, and `unlike` the accepted."""
    kind, keys = kind_of(manifest.spec.kind), {row.get("key") for finding in findings for row in finding.rows}
    by_key = {row.key: row for row in manifest.rows if row.key in keys} if keys else {}
    wanted: list[tuple[str, Sequence[Any]]] = []
    for finding in findings:
        broken = [by_key[row["key"]] for row in finding.rows if row.get("key") in by_key]
        if not finding.passed and broken:
            wanted.append((f"Not so: {finding.says}", broken))
    groups = kind.near_duplicates(manifest.rows)
    for number, group in enumerate(groups[:_GROUPS], 1):
        sides = " and ".join(sorted({row.split for row in group}))
        wanted.append((f"Near duplicates, group {number} of {len(groups)}, all in {sides}", group[:_IN_A_GROUP]))
    if unlike:
        wanted.append(("The most unlike the accepted data", unlike[:most]))
    shown: list[Shown] = []
    for title, rows in wanted:
        if (png := picture_of(prepared, rows, manifest.spec)) is not None:
            name = f"examples_{len(shown):02d}.png"
            atomic_write_bytes(folder / name, png)
            shown.append(Shown(name, title, [shown_name(row.source) for row in rows]))
    atomic_write_json(folder / EXAMPLES, [asdict(each) for each in shown])
    return shown


def picture_of(prepared: Path, rows: Sequence[Any], spec: DataSpec) -> bytes | None:
    """None where this kind of data has no picture, or a file is not what prepare wrote, which the contract tells."""
    kind = kind_of(spec.kind)
    try:
        return kind.shown(np.stack([example.arrays["x"] for example in kind.examples(prepared, rows, spec)]), spec)
    except (IntegrityError, DataError, ValueError):
        return None


def write_page(docs: Path, folder: Path, shown: Sequence[Shown], drift: Sequence[Mapping[str, Any]]) -> None:
    """One page beside Data Docs with the pictures and the table of drift, and a link to it from their first page."""
    if not shown and not drift:
        return
    parts = [(each, (folder / each.file).read_bytes()) for each in shown]
    atomic_write_text(docs / PAGE, page_of(parts, drift, '<p><a href="index.html">Data Docs</a></p>'))
    index = docs / "index.html"
    head, body, rest = index.read_text(encoding="utf-8").partition("<body>")
    if body:
        atomic_write_text(index, f"{head}{body}\n{_LINK}{rest}")


def page_of(parts: Sequence[tuple[Shown, bytes]], drift: Sequence[Mapping[str, Any]], link: str = "") -> str:
    """HTML that needs no other file: the table of drift, and each PNG below its title and above its names."""
    lines = [link, *(["<h2>Drift from the accepted data</h2>", _table(drift)] if drift else [])]
    for each, png in parts:
        names = ", ".join(html.escape(name) for name in each.names)
        lines.append(f"<h2>{html.escape(each.title)}</h2>")
        lines.append(f'<img src="data:image/png;base64,{b64encode(png).decode()}" alt="{names}">\n<p>{names}</p>')
    return _HTML.replace("CONTENT", "\n".join(lines))


def _table(drift: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in drift[0] if not name.startswith("above")]
    lines = ["<tr>" + "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names) + "<th></th></tr>"]
    for row in drift:
        state = outcome(row)
        cells = "".join(f"<td>{html.escape(str(row[name]))}</td>" for name in names)
        lines.append(f'<tr class="{state}">{cells}<td>{state}</td></tr>')
    return "<table>" + "\n".join(lines) + "</table>"


_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Examples</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
img { image-rendering: pixelated; max-width: 100%; min-height: 4em }
p { color: #666; overflow-wrap: anywhere; margin-top: 0.2em }
h2 { font-size: 1.1em; margin: 1.6em 0 0.4em }
td, th { text-align: left; padding: 0.2em 0.8em 0.2em 0; vertical-align: top }
.warning { background: #fff3cd } .breach { background: #f8d7da }
</style>
</head>
<body>
CONTENT
</body>
</html>
"""
