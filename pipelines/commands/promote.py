"""`ddpm promote`: register the judged bundle and give it the champion's alias."""

import argparse
import logging

from ddpm_core.errors import ParamsError, PromotionRefused
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "register the bundle that passed the gate and make it the champion if it is no worse than the present one"
    verb = verbs.add_parser("promote", help=text, description=sentence(text))
    verb.add_argument("--again", action="store_true", help="promote it although it was rolled back; needs --why")
    verb.add_argument("--why", metavar="TEXT", help="the reason, which `ddpm history` shows")
    verb.set_defaults(action=promote_bundle)


def promote_bundle(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.release.history import required_why
    from pipelines.release.promotion import promote
    from pipelines.tracking.tracker import open_tracker

    if args.why is not None and not args.again:
        raise ParamsError("--why: must come with --again, which promotes what was rolled back; add it or leave both")
    again = required_why(args.why) if args.again else None
    outcome = promote(params, paths, open_tracker(params.runtime.tracking, paths.home), again)
    if outcome.outcome == "kept back":
        raise PromotionRefused(str(outcome))
    log.info("%s", outcome)
