"""`ddpm params`: check params.yaml and show every value by its dotted key."""

import argparse
import sys

from pipelines.commands.common import Verbs, checked_params, project_paths, sentence


def add_to(verbs: Verbs) -> None:
    text = "check params.yaml and show every value by its dotted key"
    verb = verbs.add_parser("params", help=text, description=sentence(text))
    verb.set_defaults(action=show)


def show(args: argparse.Namespace) -> None:
    params = checked_params(project_paths(args))
    from pipelines.params import as_flat

    for key, value in as_flat(params).items():
        sys.stdout.write(f"{key} = {value}\n")
