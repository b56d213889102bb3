"""Pictures without labels, grouped: from a folder through the gate to samples, and nowhere is a group a class."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.project import tiny_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def paint(folder: Path, count: int) -> None:
    """Plain grounds of three colours with a little noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        ground = np.full((8, 8, 3), 40) + 180 * np.eye(3)[index % 3]
        levels = ground + random.uniform(-20, 20, (8, 8, 3))
        Image.fromarray(np.rint(levels).astype(np.uint8)).save(folder / f"{index:03d}.png")


def test_grouped_pictures_go_through_the_gate_as_pictures_without_labels(tmp_path: Path) -> None:
    paint(tmp_path / "grounds", 150)
    source = {
        "kind": "image_folder", "path": str(tmp_path / "grounds"), "labels": "none", "resolution": 8, "channels": "rgb",
        "fit": "crop", "filter": "box", "background": [255, 255, 255], "min_side": 2, "max_megapixels": 1.0,
        "max_megabytes": 1.0, "clusters": 3,
    }  # fmt: skip
    project = tiny_project(tmp_path, {"source": source, "evaluate": {"n": 30}, "split": {"test_fraction": 0.3}})
    done = project.ddpm("run", timeout=1000)
    assert done.code == 0, done.text
    bundle = json.loads(project.read("out/bundle/bundle.json"))
    text = json.dumps(bundle)
    assert text.count('"cluster 1"') == 1
    assert "pseudo_class_shares" in text
    record = json.loads(project.read("out/record.json"))
    assert (record["conditions"]["conditional"], record["conditions"]["asked"]) == (False, {})
    assert "accuracy_asked" not in json.loads(project.read("out/metrics.json"))
    assert b"cluster 1" not in project.read("out/report/report.md")
    assert project.ddpm("sample", "--n", "4", "--guidance", "1", "--out", "four.npz").code == 0
    assert np.load(io.BytesIO(project.read("four.npz")))["labels"].tolist() == [-1] * 4
    refused = project.ddpm("sample", "--n", "1", "--label", "cluster 1", "--out", "one.png")
    assert refused.code == 2
    assert "trained without labels" in refused.text
