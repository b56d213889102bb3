"""A small labelled data set as shards, with all that stages reference, evaluate, report and gate read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.gate.config import PictureGate
from ddpm_core.metrics.config import PanelsConfig, PictureEvaluateConfig
from ddpm_core.spec import labelled
from pipelines.kinds.facts import SourceFacts, write_facts
from pipelines.kinds.manifest import Counts, Manifest, write_manifest
from pipelines.kinds.pictures.reference.config import ClassifierConfig, ReferenceConfig
from pipelines.kinds.pictures.rows.decode import encode_png
from pipelines.kinds.pictures.rows.examples import example
from pipelines.kinds.pictures.rows.row import PictureRow
from pipelines.params import RuntimeConfig
from pipelines.paths import Paths
from pipelines.report.config import ReportConfig
from pipelines.shards.archive import ShardConfig, write_shards
from tests.support.drift import write_validation
from tests.support.tiny_bundle import CLASSES, tiny_bundle

SIDE = 8
REFERENCE = ReferenceConfig(
    extractors=(),
    efficientnet_side=32,
    batch_size=64,
    features_kept=150,
    judge_images=120,
    control_images=60,
    classifier=ClassifierConfig(seed=0, steps=60, batch_size=32, learning_rate=5e-3, width=4, min_accuracy=0.9),
)
EVALUATE = PictureEvaluateConfig(
    n="test", n_most=None, seed=0, batch_size=16, engine="onnxruntime", steps=None, guidance=None,
    floor_draws=2, kid_subsets=4,
    kid_subset_size=30, is_splits=2, copy_quantile=0.01, copy_ratio=0.5, copy_shift=1, coverage_k=3,
    bits_images=20, bits_levels=4, resamples=40, confidence=0.95, grid_columns=6, neighbours=5,
    panels=PanelsConfig(steps=(2, 4), images=40, trajectories=2),
)  # fmt: skip
GATE = PictureGate(
    model_name="tiny", min_samples=20, max_energy=0.1, max_lost=0.2, max_rough=0.3, max_distance_ratio=None,
    max_accuracy_loss=0.05, max_copy_excess=0.05, copy_significance=0.01, max_broken_excess=0.05,
    max_golden_difference=0.1, max_unseen_controls=4, max_champion_loss=0.1, absolute=(),
)  # fmt: skip
RUNTIME = RuntimeConfig(
    device="cpu",
    threads=1,
    processes=1,
    sampling_processes=1,
    workers=0,
    runner="local",
    deterministic=True,
    tracking=False,
)
REPORT = ReportConfig(title="A <small> model", intended_use="tests", data_licence="none", limits="all")


@dataclass(frozen=True)
class MeasuredParams:
    """The sections that these stages look at."""

    reference: ReferenceConfig = REFERENCE
    evaluate: PictureEvaluateConfig = EVALUATE
    gate: PictureGate = GATE
    report: ReportConfig = REPORT
    runtime: RuntimeConfig = RUNTIME

    def sections(self) -> dict[str, Any]:
        return {"gate": {"model_name": self.gate.model_name}}


DRIFT_ROW = {
    "measure": "brightness",
    "accepted": "median 10",
    "now": "median 20",
    "distance": 0.4,
    "at_least": 0.3,
    "at_most": 0.5,
    "warning_level": 0.2,
    "breach_level": 0.5,
    "above_warning": True,
    "above_breach": False,
}
SHOWN = {"file": "examples_00.png", "title": "Near duplicates, group 1 of 1", "names": ["a.png", "b <i>.png"]}


def pictures(labels: np.ndarray, seed: int) -> np.ndarray:
    """Bright bars on noise: across, down or along the diagonal, by the label; each somewhere else."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (len(labels), 1, SIDE, SIDE))
    rows = np.arange(SIDE)
    for image, label in zip(images, labels, strict=True):
        place = int(rng.integers(1, SIDE - 1))
        if label == 0:
            image[0, place] = 230
        elif label == 1:
            image[0, :, place] = 230
        else:
            image[0, rows, (rows + place) % SIDE] = 230
    return images.astype(np.uint8)


def measured_project(root: Path, *, labelled_data: bool = True, train: int = 240, test: int = 90) -> Paths:
    """Shards, manifest, contract, curve and a tiny bundle; nothing of the stages under test."""
    paths = Paths(root, root / ".ddpm")
    spec = labelled((1, SIDE, SIDE), (-1.0, 1.0), 256, CLASSES if labelled_data else ())
    splits, rows = {}, []
    for number, (split, count) in enumerate({"train": train, "test": test}.items()):
        true = np.arange(count) % len(CLASSES)
        images = pictures(true, number)
        labels = true if labelled_data else np.full(count, -1)
        keys = [f"{number}{place:015x}" for place in range(count)]
        items = list(zip(keys, images, labels.tolist(), strict=True))
        splits[split] = [example(*item, spec) for item in items]
        for key, image, label in items:
            name = CLASSES[label] if labelled_data else ""
            of_file = {"path": "a.png", "source": "a.png", "sha256": "0", "source_sha256": "0", "content_sha256": "0"}
            grey = {"mean": float(image.mean()), "std": float(image.std()), "min": 0, "max": 255}
            size = {"width": SIDE, "height": SIDE, "mode": "L", "found_width": SIDE, "found_height": SIDE, "group": ""}
            of_class = {"label": label, "class_name": name}
            rows.append(PictureRow(key=key, split=split, **of_file, **of_class, **size, **grey))  # type: ignore[arg-type]
    write_shards(paths.shards, spec, splits, ShardConfig(100, 50, 1000))
    write_manifest(paths.manifest, Manifest(rows, spec, Counts(len(rows) + 1, len(rows), 1)))
    write_facts(paths.source_facts, SourceFacts(model_name="ddpm-bars"))
    paths.contract.parent.mkdir(parents=True, exist_ok=True)
    found = [
        {
            "table": "pictures",
            "says": "sizes agree",
            "passed": True,
            "found": "",
            "severity": "critical",
        },
        {"table": "data_set", "says": "no a|b", "found": "found 2", "passed": False, "severity": "warning"},
    ]
    paths.contract.write_text(json.dumps({"passed": True, "expectations": found}))
    write_validation(paths.validation, [DRIFT_ROW], [SHOWN], encode_png(images[0]))
    lines = [f"{step},{1 / (1 + step)},{2.0},{1e-3},\n" for step in range(1, 30)]
    paths.curves.write_text("step,loss,grad_norm,lr,loss_band_1\n" + "".join(lines))
    tiny_bundle(paths.bundle, spec=spec, conditional=labelled_data)
    return paths


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value
