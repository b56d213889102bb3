"""`ddpm history`: the versions of the registered model, with their aliases, promotions and rollbacks."""

import argparse
import json
import logging
import sys

from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "show the registered versions: promoted and rolled back when, by whom and why"
    verb = verbs.add_parser("history", help=text, description=sentence(text))
    verb.add_argument("--json", action="store_true", help="as JSON, the newest version first")
    verb.set_defaults(action=show)


def show(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.kinds.facts import registered_name
    from pipelines.release.history import history, table
    from pipelines.tracking.store_access import store_must_answer
    from pipelines.tracking.tracker import open_tracker

    name = registered_name(params.gate, paths)
    store = open_tracker(params.runtime.tracking, paths.home).store()
    with store_must_answer():
        from pipelines.tracking.mlflow_registry import Registry

        rows = history(Registry(store, name))
    if args.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    elif rows:
        sys.stdout.write(table(rows))
    else:
        log.info("no version of %s is registered yet; `ddpm promote` registers the first", name)
