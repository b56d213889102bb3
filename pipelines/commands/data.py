"""`ddpm data`: accept the prepared data as the measure of drift; tell how two data sets differ."""

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ContractFailed, DataError
from pipelines.commands.common import Verbs, project_paths, sentence

if TYPE_CHECKING:
    from pipelines.commands.data_sides import Differences, Side
    from pipelines.paths import Paths
    from pipelines.validation.compare import Measure
    from pipelines.validation.summary import DataSummary

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "accept the prepared data as the measure of drift, or tell how two data sets differ"
    verb = verbs.add_parser("data", help=text, description=sentence(text))
    inner = verb.add_subparsers(dest="what", metavar="WHAT", required=True)
    text = "make the prepared data those from which drift is measured (accepted.json; commit it)"
    each = inner.add_parser("accept", help=text, description=sentence(text))
    each.add_shared(suppress=True)
    each.set_defaults(action=accept)
    text = "how two data sets differ: number, labels, values, features, and which data only one has"
    each = inner.add_parser("diff", help=text, description=sentence(text))
    for name in ("a", "b"):
        each.add_argument(
            name,
            metavar=name.upper(),
            help="raw data (what `ddpm init --data` takes), a project's folder, or an accepted.json",
        )
    each.add_argument("--json", action="store_true", help="as JSON")
    each.add_argument(
        "--page", metavar="FILE", help="also write an HTML page that shows the data most unlike the others"
    )
    each.add_shared(suppress=True)
    each.set_defaults(action=diff)


def accept(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    from ddpm_core.files import atomic_write_json
    from pipelines.validation.compare import compare
    from pipelines.validation.summary import read_summary

    now = _validated(paths)
    before = read_summary(paths.accepted)
    atomic_write_json(paths.accepted, now.to_dict())
    log.info("accepted %d %s", now.examples, now.kind)
    if before is not None and (measures := compare(before, now)):
        log.info("%s", "\n".join(_table(measures, "accepted before", "now")))
    log.info(
        "commit %s; `ddpm run` judges the data and makes the report again, and trains nothing for it",
        paths.accepted.name,
    )


def _validated(paths: "Paths") -> "DataSummary":
    """The summary that stage validate wrote of the very data that are prepared."""
    from pipelines.kinds.manifest import manifest_digest
    from pipelines.validation.files import SUMMARY
    from pipelines.validation.summary import read_summary

    now = read_summary(paths.validation / SUMMARY)
    judged = json.loads(paths.contract.read_text(encoding="utf-8")) if paths.contract.is_file() else None
    if now is None or judged is None or not paths.manifest.exists():
        raise DataError(
            f"{paths.root}: must hold validated data, but there are none; run `ddpm run`, or `dvc repro validate`"
        )
    if judged["manifest_sha256"] != manifest_digest(paths.manifest):
        raise DataError(
            f"{paths.contract}: must be about the prepared data, but is about others; run `dvc repro validate`"
        )
    broken = [each["says"] for each in judged["expectations"] if not each["passed"] and each["severity"] == "critical"]
    if broken:
        raise ContractFailed(f"data that break the contract cannot be accepted: {'; '.join(broken)}")
    return now


def diff(args: argparse.Namespace) -> None:
    from pipelines.commands.data_sides import Differences, read_sides, write_page
    from pipelines.validation.compare import compare, incomparable

    with read_sides(args.a, args.b) as (a, b):
        reason = incomparable(a.summary, b.summary)
        if reason is not None and a.summary.kind != b.summary.kind:
            raise DataError(f"A and B must be data of one kind, got {reason[0]} and {reason[1]}")
        measures = compare(a.summary, b.summary)
        found = Differences.of(a, b)
        if args.page is not None:
            write_page(Path(args.page), a, b, found)
        if args.json:
            content = {
                "a": a.facts(),
                "b": b.facts(),
                "contents": found and found.counts(),
                "measures": [asdict(each) for each in measures],
            }
            sys.stdout.write(json.dumps(content, indent=1) + "\n")
        else:
            sys.stdout.write("\n".join(map(_printable, _lines(a, b, found, measures, reason))) + "\n")


def _printable(line: str) -> str:
    """Names of classes come from folders: what would steer a terminal is written as \\x1b and the like."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in line)


def _lines(
    a: "Side", b: "Side", found: "Differences | None", measures: "Sequence[Measure]", reason: tuple[str, str] | None
) -> Iterator[str]:
    for letter, side in (("A", a), ("B", b)):
        yield f"{letter}  {side.told()}"
    if found is not None:
        yield str(found)
    if reason is not None:
        yield f"features are not compared: A has {reason[0]}, B has {reason[1]}"
    yield ""
    yield from _table(measures, "A", "B")
    yield ""
    yield "Distances go from 0 (equal) to 1. In brackets the 99 % interval; 0 in it: chance alone may do this."


def _table(measures: "Sequence[Measure]", first: str, second: str) -> list[str]:
    rows = [("measure", "distance", "interval", first, second)]
    rows += [
        (m.name, f"{m.value:.3f}", f"[{m.interval.low:.3f}, {m.interval.high:.3f}]", m.accepted, m.now)
        for m in measures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows]
