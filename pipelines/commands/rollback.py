"""`ddpm rollback [VERSION] --why TEXT`: make an earlier version champion again, permanently."""

import argparse
import logging

from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "make an earlier version champion again; the version it replaces is not promoted again automatically"
    verb = verbs.add_parser("rollback", help=text, description=sentence(text))
    verb.add_argument(
        "version",
        metavar="VERSION",
        type=int,
        nargs="?",
        help="its number (default: the one under alias `previous`)",
    )
    verb.add_argument("--why", metavar="TEXT", required=True, help="the reason, which `ddpm history` shows")
    verb.add_argument("--again", action="store_true", help="take VERSION although it was itself rolled back")
    verb.set_defaults(action=roll_back_champion)


def roll_back_champion(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.release.history import required_why
    from pipelines.release.rollback import roll_back
    from pipelines.tracking.tracker import open_tracker

    why = required_why(args.why)
    tracker = open_tracker(params.runtime.tracking, paths.home)
    log.info("%s", roll_back(params, paths, tracker, args.version, why, again=args.again))
