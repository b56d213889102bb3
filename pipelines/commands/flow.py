"""`ddpm flow`: the same stages as a Prefect flow, with states, retries and artifacts; needs no server of yours."""

import argparse

from pipelines.commands.common import Verbs, checked_params, project_paths, sentence
from pipelines.runtime.lifetime import guarded


def add_to(verbs: Verbs) -> None:
    text = "run the stages as a Prefect flow, with a temporary server if none is configured"
    verb = verbs.add_parser("flow", help=text, description=sentence(text))
    verb.set_defaults(action=flow)


def flow(args: argparse.Namespace) -> None:
    paths = project_paths(args)
    checked_params(paths)
    from pipelines.runtime.environment import prepare_prefect

    prepare_prefect(paths.home)  # Prefect reads its settings when it is imported
    from pipelines.flows import pipeline

    with guarded():  # Prefect's temporary server
        pipeline(str(paths.root))
