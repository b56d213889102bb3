"""A project's outputs and stores for the tests of tracking and promotion, without any stage having run."""

import json
import shutil
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ddpm_core.bundle.format import Bundle
from ddpm_core.gate.config import PictureGate
from ddpm_core.metrics.intervals import RESAMPLING, Replicates
from ddpm_core.metrics.measurement import encoded
from pipelines.evaluation.authenticity import write_measured
from pipelines.gate.gate_file import write_verdict
from pipelines.gate.record import judge
from pipelines.kinds.pictures.rows.decode import encode_png
from pipelines.paths import Paths
from pipelines.versioning.dvc_repo import DvcRepo
from tests.support.described import described
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec

GATE = PictureGate(
    model_name="tiny",
    min_samples=10,
    max_energy=0.1,
    max_lost=0.2,
    max_rough=0.15,
    max_distance_ratio=None,
    max_accuracy_loss=0.02,
    max_copy_excess=0.005,
    copy_significance=0.01,
    max_broken_excess=0.005,
    max_golden_difference=0.1,
    max_unseen_controls=0,
    max_champion_loss=0.02,
    absolute=(),
)
GOOD: dict[str, float] = {
    "n": 100,
    "n_heldout": 100,
    "energy_classifier": 0.05,
    "lost_classifier": 0.02,
    "rough_share": 0.03,
    "rough_share_heldout": 0.02,
    "accuracy_asked": 0.99,
    "accuracy_heldout": 0.99,
    "accuracy_asked_low": 0.98,
    "accuracy_asked_high": 0.995,
    "golden_difference": 0.0,
    **{f"{kind}_share{real}": 0.0 for kind in ("near", "lone", "constant", "duplicate") for real in ("", "_heldout")},
    "near_chance": 1.0,
    "lone_chance": 1.0,
}


@dataclass(frozen=True)
class FewParams:
    """The sections that tracking and promotion look at."""

    gate: Any = GATE

    def sections(self) -> dict[str, Any]:
        return {"train": {"lr": 0.001, "note": "long " * 2000}, "gate": self.gate}


# One gross fault that the rules refuse, as stage evaluate records it.
CONTROLS = {
    "noise": {
        "words": "uniform noise",
        "gross": True,
        "metrics": {
            "n": 100, "n_heldout": 100, "energy_classifier": 2.0, "energy_classifier_low": 1.9,
            "energy_classifier_high": 2.1, "lost_classifier": 1.0, "lost_classifier_low": 1.0,
            "lost_classifier_high": 1.0, "rough_share": 1.0, "rough_share_low": 0.9, "rough_share_high": 1.0,
            "rough_share_heldout": 0.02, "constant_share": 0.0, "constant_share_heldout": 0.0, "duplicate_share": 0.0,
            "duplicate_share_heldout": 0.0,
        },
    }
}  # fmt: skip


def with_ends(metrics: dict[str, float]) -> dict[str, float]:
    """Each number that has an interval with ends of a hundredth to either side."""
    names = [name for name in metrics if name.startswith(("energy_", "lost_")) or name == "rough_share"]
    plain = [name for name in names if not name.endswith(("_low", "_high", "_heldout"))]
    ends = {f"{name}_{end}": metrics[name] + by for name in plain for end, by in (("low", -0.01), ("high", 0.01))}
    return {**ends, **metrics}


def spread_by(value: float) -> Replicates:
    """Replicates whose standard deviation is exactly this, the same ones each time."""
    noise = np.random.default_rng(0).standard_normal(40)
    return Replicates(value * (noise - noise.mean()) / noise.std(ddof=1), np.zeros(40))


REPLICATES = encoded({"energy_classifier": spread_by(0.002), "accuracy_asked": spread_by(0.002)})


def weights_file(path: Path, seed: int) -> None:
    """A safetensors file with no tensor and our metadata."""
    facts = json.dumps({"data_digest": "d" * 64, "train_digest": f"{seed:064d}"})
    header = json.dumps({"__metadata__": {"ddpm": facts}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def judged_project(
    root: Path,
    home: Path,
    *,
    seed: int = 0,
    metrics: dict[str, float] | None = None,
    gate: PictureGate = GATE,
    **conditions: Any,
) -> tuple[Paths, Bundle]:
    """A project whose stages have all run, with a bundle of its own for each seed."""
    paths = Paths(root=root, home=home)
    for folder in (root / "out", paths.samples, paths.report, home):
        folder.mkdir(parents=True, exist_ok=True)
    bundle = tiny_bundle(paths.bundle, model=tiny_graph(tiny_spec(), seed=seed))
    weights_file(paths.weights, seed)
    paths.curves.write_text("step,loss,grad_norm\n10,0.5,1.0\n20,0.25,\n")
    record = {
        "conditions": {
            "n": 100,
            "resampling": RESAMPLING,
            "classifier": {"usable": True},
            "settings": {"confidence": 0.95},
            **conditions,
        },
        "provenance": {"bundle": bundle.digest},
        "metrics": described(classes=3),
        "replicates": REPLICATES,
        "controls": CONTROLS,
    }
    (paths.samples / "grid.png").write_bytes(encode_png(np.zeros((1, 4, 4), np.uint8)))
    write_measured(root / "out", with_ends({**GOOD, **(metrics or {})}), record)
    (paths.report / "index.html").write_text(f"<p>report {seed}</p>")
    judged_by(gate, paths)
    return paths, bundle


def judged_by(gate: PictureGate, paths: Paths) -> None:
    """As the stages leave it: params.yaml and a graph that say so, the verdict of stage gate, and the lock of all."""
    graph = {
        "train": {"cmd": "ddpm train", "params": ["train"], "outs": ["out/weights.safetensors", "out/curves.csv"]},
        "export": {"cmd": "ddpm export", "deps": ["out/weights.safetensors"], "outs": ["out/bundle"]},
        "evaluate": {
            "cmd": "ddpm evaluate",
            "deps": ["out/bundle"],
            "outs": ["out/record.json", "out/samples"],
            "metrics": ["out/metrics.json"],
        },
        "report": {"cmd": "ddpm report", "deps": ["out/metrics.json"], "outs": ["out/report"]},
        "gate": {
            "cmd": "ddpm gate",
            "params": ["gate"],
            "deps": ["out/metrics.json", "out/record.json"],
            "outs": ["out/gate.json"],
        },
    }
    sections = {name: asdict(each) if is_dataclass(each) else each for name, each in FewParams(gate).sections().items()}
    _yaml(paths.params, sections)
    _yaml(paths.root / "dvc.yaml", {"stages": graph})
    (paths.root / ".dvc").mkdir(exist_ok=True)
    (paths.root / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = false\n")
    judged, _ = judge(paths, gate)
    write_verdict(judged, gate, paths, (paths.gate,))
    lock_as_run(paths)


def lock_as_run(paths: Paths) -> None:
    """dvc.lock as DVC writes it when every stage has just run."""
    _yaml(paths.root / "dvc.lock", {"schema": "2.0", "stages": DvcRepo(paths.root).lock_now(("",))})


def _yaml(path: Path, content: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(json.loads(json.dumps(content)), file)


def empty_home(template: Path, home: Path) -> Path:
    """A home with an empty store (making one takes MLflow seconds, copying one none)."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, home / "mlflow.db")
    return home
