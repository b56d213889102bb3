"""`ddpm init`: make a folder a project with the parameters of a preset."""

import argparse
import logging
from pathlib import Path

from pipelines.commands.common import Verbs

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "make a folder a project of its own, with the parameters of a preset"
    verb = verbs.add_parser("init", help=text, description=text.capitalize() + ".")
    verb.add_argument("folder", metavar="FOLDER", help="where; a project that is there keeps its params.yaml")
    verb.add_argument("--preset", metavar="NAME", required=True, help="which; an unknown name lists them all")
    verb.set_defaults(action=init)


def init(args: argparse.Namespace) -> None:
    from pipelines.projects import make_project

    new = make_project(Path(args.folder), args.preset)
    log.info("%s: %s", args.folder, f"a new project from preset {args.preset}" if new else "params.yaml kept as it is")
