"""`ddpm explain`: why the gate's verdict came out as it did, in plain words, and which parameter to try next."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

if TYPE_CHECKING:
    from ddpm_core.gate.verdict import Verdict
    from ddpm_core.metrics.measurement import Measurement
    from pipelines.kinds.advice import Advice


def add_to(verbs: Verbs) -> None:
    text = "tell in plain words why the model passes the gate or not, and what to try next"
    verb = verbs.add_parser("explain", help=text, description=sentence(text))
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb.set_defaults(action=explain)


def explain(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.explain.advice import advice
    from pipelines.explain.judged import read_judged
    from pipelines.kinds import kind_of

    verdict, measured, judged = read_judged(paths, params)
    remedies = list(dict.fromkeys([*kind_of(params.kind).advice(judged), *advice(judged)]))
    if args.json:
        content = {**verdict.to_dict(), "try": [asdict(remedy) for remedy in remedies]}
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(verdict, measured, remedies)) + "\n")


def _lines(verdict: "Verdict", measured: "Measurement", remedies: "Sequence[Advice]") -> Iterator[str]:
    from ddpm_core.gate.rules import BLOCKING

    yield f"{verdict.headline}\nverdict: {verdict.outcome.upper()}"
    blocking = [rule for rule in verdict.rules if rule.outcome in BLOCKING]
    if not blocking:
        yield "No rule blocks, so there is nothing to mend."
        return
    meanings = {metric.rule.title: metric.meaning for metric in measured.listed if metric.rule}
    yield "\nWhat does not pass:"
    for rule in blocking:
        yield f"  {rule.rule}: {rule.outcome}\n    {rule.text}"
        if rule.rule in meanings:
            yield f"    What it measures: {meanings[rule.rule]}"
    if remedies:
        yield "\nWhat to try, the most likely first, one at a time:"
    for number, remedy in enumerate(remedies, 1):
        yield f"  {number}. {remedy.change}\n     {remedy.reason}"
