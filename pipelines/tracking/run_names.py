"""The name and description of a run in MLflow's pages."""

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
    """A run's name: the parameters in which runs most often differ, and the key, which differs for any other.

    Uses the sections of stage train, which opens the run.
    """
    if not params.keys() >= set(_NAMED_AFTER):
        return f"train-{key[:8]}"
    model, channels, target, optimiser, lr, steps, batch = (params[name] for name in _NAMED_AFTER)
    return f"{model} {channels} {target} {optimiser} lr {lr} {steps}x{batch} {key[:8]}"


def described(key: str, restored: bool = False) -> dict[str, str]:
    """The tags that describe a run in MLflow's pages."""
    said = {"mlflow.source.type": "LOCAL", "mlflow.source.name": "ddpm train"}
    said["mlflow.note.content"] = (
        "One training: its parameters, its curves (`loss_band_*`: by level of noise), sample grids as it went under "
        "`samples`, then what was measured of it (`evaluate/*`), its report and its verdict (tag `gate`)."
    )
    if not restored and (commit := commit_of(Path.cwd())):
        said["mlflow.source.git.commit"] = commit
    if experiment := os.environ.get("DVC_EXP_NAME"):  # DVC sets it for the stages of an experiment
        said["dvc.experiment"] = experiment
    if restored:
        said["mlflow.runName"] = f"restored-{key[:8]}"
        said["restored"] = "true"
        said["mlflow.note.content"] = (
            "Rebuilt from the outputs on disk, because this store had no run for these weights: parameters, curves, "
            "metrics and samples are those of the training; times, commit, machine and system metrics are not known."
        )
    return said
