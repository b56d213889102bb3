"""`ddpm code`: the first stage of a project outside of the repository."""

import argparse

from pipelines.commands.common import Verbs, project_paths, sentence


def add_to(verbs: Verbs) -> None:
    text = "first stage of a project: write digests of the installed code to code.json"
    verb = verbs.add_parser("code", help=text, description=sentence(text))
    verb.set_defaults(action=code)


def code(args: argparse.Namespace) -> None:
    from pipelines.projects.code import write_code

    write_code(project_paths(args).root)
