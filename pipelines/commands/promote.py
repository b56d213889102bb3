"""`ddpm promote`: register the judged bundle and give it the champion's alias."""

import argparse
import logging

from pipelines.commands.common import Verbs, checked_params, project_paths

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "register the bundle that passed the gate and make it the champion if it beats the present one"
    verb = verbs.add_parser("promote", help=text, description=text.capitalize() + ".")
    verb.set_defaults(action=promote_bundle)


def promote_bundle(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.promotion import promote
    from pipelines.tools.tracking import open_tracker

    log.info("%s", promote(params, paths, open_tracker(params.runtime.tracking, paths.home)))
