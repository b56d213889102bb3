"""`ddpm compare RUN_A RUN_B`: compare two runs that were measured under equal conditions, number by number."""

import argparse
import logging
import sys
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "compare run A with run B: every number, the intervals of the differences, the rules for a champion"
    verb = verbs.add_parser("compare", help=text, description=sentence(text))
    for letter in "AB":
        verb.add_argument(
            f"run_{letter.lower()}",
            metavar=f"RUN_{letter}",
            help="a folder with metrics.json and record.json (or a project), an MLflow run id, a version of the model "
            "(number, champion, challenger, previous) or models:/NAME/VERSION",
        )
    verb.add_argument("--out", default="compare.html", help="the page to write (default: compare.html)")
    verb.set_defaults(action=compare_runs)


def compare_runs(args: argparse.Namespace) -> None:
    """Find both, refuse unless measured under equal conditions, print the table, write the page."""
    out = Path(args.out)
    if out.suffix != ".html":
        raise ParamsError(f"--out: must end in .html, got {args.out}")
    paths = project_paths(args)
    params = checked_params(paths)
    from ddpm_core.files import atomic_write_text
    from pipelines.report.compare import open_runs
    from pipelines.report.compared import Compared

    with open_runs((args.run_a, args.run_b), params, paths) as runs:
        compared = Compared.of(runs, params.gate)
    sys.stdout.write(compared.text())
    try:
        atomic_write_text(out, compared.html())
    except OSError as error:
        raise ParamsError(f"--out: must be a place that can be written, got {out}: {error.strerror}") from error
    log.info("page: %s", out)
