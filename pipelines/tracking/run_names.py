"""How a run is called and what it says of itself in MLflow's pages."""

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.tracking.stage_records import Scalar
from pipelines.versioning.git import commit_of

_NAMED_AFTER = (
    "model.kind",
    "model.channels",
    "diffusion.target",
    "train.optimiser.kind",
    "train.lr",
    "train.steps",
    "train.batch_size",
)


def run_name(key: str, params: Mapping[str, Scalar]) -> str:
    """What two runs most often differ in, for the lists and legends of MLflow's pages; the key tells all others.

    Of the sections that stage train sees, for it opens the run.
    """
    if not params.keys() >= set(_NAMED_AFTER):
        return f"train-{key[:8]}"
    model, channels, target, optimiser, lr, steps, batch = (params[name] for name in _NAMED_AFTER)
    return f"{model} {channels} {target} {optimiser} lr {lr} {steps}x{batch} {key[:8]}"


def described(key: str, restored: bool = False) -> dict[str, str]:
    """The tags that make a run speak for itself in MLflow's pages."""
    said = {"mlflow.source.type": "LOCAL", "mlflow.source.name": "ddpm train"}
    said["mlflow.note.content"] = (
        "One training: its parameters, its curves (`loss_band_*`: by level of noise), sample grids as it went under "
        "`samples`, then what was measured of it (`evaluate/*`), its report and its verdict (tag `gate`)."
    )
    if not restored and (commit := commit_of(Path.cwd())):
        said["mlflow.source.git.commit"] = commit
    if experiment := os.environ.get("DVC_EXP_NAME"):  # DVC tells it to the stages of an experiment
        said["dvc.experiment"] = experiment
    if restored:
        said["mlflow.runName"] = f"restored-{key[:8]}"
        said["restored"] = "true"
        said["mlflow.note.content"] = (
            "Rebuilt from the outputs on disk, because this store had no run for these weights: parameters, curves, "
            "metrics and pictures are those of the training; times, commit, machine and system metrics are not known."
        )
    return said
