"""`ddpm params`: check params.yaml and show every value by its dotted key."""

import argparse
import logging
import sys

from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "check params.yaml and show every value by its dotted key"
    verb = verbs.add_parser("params", help=text, description=sentence(text))
    verb.set_defaults(action=show)


def show(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.kinds import kind_of
    from pipelines.params import as_flat

    kind = kind_of(params.kind)
    if (paths.root / params.source.path).exists():
        kind.check_source(params.source, paths.root)
    for caution in kind.cautions(params):
        log.warning("%s", caution)

    for key, value in as_flat(params).items():
        sys.stdout.write(f"{key} = {value}\n")
