"""`ddpm prepare` ... `ddpm gate`: one stage, as dvc.yaml calls it."""

import argparse
import importlib

from pipelines.commands import evaluation, training
from pipelines.commands.common import Verbs, checked_params, project_paths

STAGES = {
    "prepare": "read the source's pictures; write images, the manifest and the quarantine",
    "validate": "judge the manifest by the data contract",
    "shard": "pack the images into WebDataset shards with an index of digests",
    "reference": "make the feature extractor and the statistics of real images",
    "train": "train the network; write its averaged weights and curves",
    "export": "turn the weights into a bundle: ONNX and bundle.json",
    "evaluate": "sample through the bundle and measure",
    "report": "write the page that shows the model and its verdict",
    "gate": "give the verdict; exit code 3 if the model does not pass",
}

COMPUTING = ("reference", "train", "export", "evaluate")
"""The stages that use numpy and torch in earnest, by `runtime.threads`."""


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
    params = checked_params(paths, computes=args.stage in COMPUTING)
    from pipelines.params import stage_sections
    from pipelines.tracking.tracker import open_tracker

    seen = params.restrict(stage_sections(paths.root)[args.stage])
    if args.stage == "train" and training.done_otherwise(args, seen, paths):
        return
    if args.stage == "evaluate" and evaluation.done_otherwise(args, params, paths):
        return
    stage = importlib.import_module(f"pipelines.stages.{args.stage}")
    stage.run(seen, paths, open_tracker(params.runtime.tracking, paths.home))
