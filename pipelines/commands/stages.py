"""`ddpm prepare` ... `ddpm gate`: one stage, as dvc.yaml calls it."""

import argparse
import importlib
import re
from pathlib import Path

from pipelines.commands import evaluation, training
from pipelines.commands.common import Verbs, checked_params, project_paths

_FOLDER = Path(__file__).parents[1] / "stages"
_WITHOUT_NUMBERS = ("prepare", "validate", "shard", "report", "gate")
"""The stages that do not compute with numpy or torch in earnest, by `runtime.threads`."""


def _by_file() -> dict[str, str]:
    """Each stage and what its module's docstring says of it, in the order of the graph."""
    graph = _FOLDER.parent / "projects" / "graph.yaml"
    order = re.findall(r"^  (\w+):$", graph.read_text(encoding="utf-8"), re.MULTILINE) if graph.is_file() else []
    texts = {}
    for file in sorted(_FOLDER.glob("[!_]*.py"), key=lambda file: order.index(file.stem) if file.stem in order else 99):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        texts[file.stem] = first.strip('"').removeprefix(f"Stage {file.stem}: ").removesuffix(".")
    return texts


STAGES = _by_file()


def add_to(verbs: Verbs) -> None:
    for name, text in STAGES.items():
        verb = verbs.add_parser(name, help=f"stage: {text}", description=f"Stage {name}: {text}.")
        verb.set_defaults(action=run_stage, stage=name)
        if name == "train":
            training.add_options(verb)
        if name == "evaluate":
            evaluation.add_options(verb)


def run_stage(args: argparse.Namespace) -> None:
    """Check the whole of params.yaml, then let the stage see its sections alone."""
    paths = project_paths(args)
    params = checked_params(paths, computes=args.stage not in _WITHOUT_NUMBERS)
    from pipelines.params import stage_sections
    from pipelines.tracking.tracker import open_tracker

    seen = params.restrict(stage_sections(paths.root)[args.stage])
    if args.stage == "train" and training.done_otherwise(args, seen, paths):
        return
    if args.stage == "evaluate" and evaluation.done_otherwise(args, params, paths):
        return
    stage = importlib.import_module(f"pipelines.stages.{args.stage}")
    stage.run(seen, paths, open_tracker(params.runtime.tracking, paths.home))
