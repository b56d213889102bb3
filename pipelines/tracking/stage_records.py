"""The outputs of a stage as the records of a run: enough to rebuild the run in an empty store."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError
from ddpm_core.files import json_bytes, sha256_bytes, sha256_file
from pipelines.paths import Paths
from pipelines.tracking.run_params import told
from pipelines.training.weights_file import read_about

Scalar = str | int | float | bool

WEIGHTS_TAG = "ddpm.weights"
KEY_TAG = "ddpm.checkpoint_key"
DATA_TAG = "data.digest"
STAGES = ("train", "evaluate", "report", "gate")


class Run:
    """A run of the tracker. No method waits for a server, and none raises. This base class logs nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers by name at a step."""

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Log parameters by dotted key; a key with an earlier value keeps it, and a tag has the new one."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; the last value counts."""

    def log_file(self, path: Path, folder: str) -> None:
        """Log a copy of a file or a folder as it is now, under a folder of the run's artifacts."""

    def finished(self, weights_sha256: str) -> None:
        """The training has finished with these weights, by which later stages find the run."""


def logged_tag(stage: str) -> str:
    """The tag with the digest of a stage's outputs that a run has."""
    return f"logged.{stage}"


def weights_digest(paths: Paths) -> str:
    """The digest by which a run is found, from the weights or, if they were not fetched, from the bundle."""
    if paths.weights.is_file():
        return sha256_file(paths.weights)
    file = paths.bundle / "bundle.json"
    if not file.is_file():
        raise DataError(
            f"{paths.weights}: file not found, and a run needs trained weights; run `ddpm train`, or `dvc checkout`"
        )
    provenance = json.loads(file.read_bytes())["provenance"]
    return str(provenance.get("weights_sha256") or sha256_file(file))


def digest(stage: str, paths: Paths) -> str:
    """The digest of the outputs of a stage that this file reads, `none` if there are none."""
    if stage == "train":
        return weights_digest(paths)
    present = [path for path in _files(stage, paths) if path.is_file()]
    return sha256_bytes(json_bytes([sha256_file(path) for path in present])) if present else "none"


def log_stage(run: Run, stage: str, paths: Paths, own: Any = None) -> None:
    """Log the outputs of a stage, and last the tag with their digest; `own` are the parameters of a running stage."""
    run.log_params(told(stage, paths, own))
    if stage == "train":
        _log_training(run, paths)
    elif stage == "evaluate":
        _log_evaluation(run, paths)
    elif stage == "report" and paths.report.is_dir():
        run.log_file(paths.report, "")
    elif stage == "gate" and paths.gate.is_file():
        run.log_file(paths.gate, "gate")
        run.set_tags({"gate": str(json.loads(paths.gate.read_bytes())["outcome"])})
    run.set_tags({logged_tag(stage): digest(stage, paths)})


def _log_training(run: Run, paths: Paths) -> None:
    if paths.weights.is_file():
        facts = read_about(paths.weights)
        tags = {"data.digest": facts.get("data_digest"), "train.digest": facts.get("train_digest")}
        best = {f"best.{name}": str(value) for name, value in facts.get("best", {}).items()}
        run.set_tags({**{name: str(value) for name, value in tags.items() if value is not None}, **best})
    if paths.curves.is_file():
        with paths.curves.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                run.log_metrics({name: float(value) for name, value in row.items() if value}, step)
        run.log_file(paths.curves, "curves")


def _log_evaluation(run: Run, paths: Paths) -> None:
    if paths.metrics.is_file():
        metrics = json.loads(paths.metrics.read_bytes())
        run.log_metrics({f"evaluate/{name}": value for name, value in metrics.items()}, 0)
    for path in _files("evaluate", paths):
        if path.is_file():
            run.log_file(path, "samples" if path.suffix == ".png" else "evaluate")


def _files(stage: str, paths: Paths) -> list[Path]:
    if stage == "evaluate":
        return [paths.metrics, paths.record, *sorted(paths.samples.glob("*.png"))]
    return {"report": [paths.report / "index.html"], "gate": [paths.gate]}.get(stage, [])
