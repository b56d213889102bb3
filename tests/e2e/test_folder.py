"""A user's own folder: flat, colour, no labels; from pictures to champion with nothing but params.yaml changed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.project import default_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def paint_discs(folder: Path, count: int) -> None:
    """Discs of any colour, place and size on a ground of any dark colour, with the grain of a camera."""
    folder.mkdir()
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:24, 0:24]
    for index in range(count):
        row, column, radius = random.uniform(8, 16), random.uniform(8, 16), random.uniform(4, 8)
        inside = np.clip(radius - np.hypot(rows - row, columns - column) + 0.5, 0, 1)[..., None]
        colour, ground = random.uniform(120, 255, 3), random.uniform(10, 80, 3)
        picture = ground + inside * (colour - ground) + random.normal(0, 10, (24, 24, 3))
        Image.fromarray(np.rint(np.clip(picture, 0, 255)).astype(np.uint8)).save(folder / f"{index:04d}.png")


def test_flat_folder_of_colour_pictures_goes_to_champion_with_params_alone(tmp_path: Path) -> None:
    """The network, its training and the gate's limits are the ones that ship; 24 pixels are enough to see a disc."""
    paint_discs(tmp_path / "discs", 400)
    project = default_project(
        tmp_path,
        {
            "source": {
                "kind": "image_folder",
                "path": str(tmp_path / "discs"),
                "labels": "none",
                "resolution": 24,
                "channels": "rgb",
                "fit": "crop",
                "filter": "lanczos",
                "background": [255, 255, 255],
                "min_side": 2,
                "max_megapixels": 50.0,
                "max_megabytes": 100.0,
                "clusters": None,
            },
            "split": {"test_fraction": 0.3},
            "sample": {"sampler": {"spacing": "karras", "steps": 20}},  # its last steps are small: the grain stays
            "gate": {"model_name": "discs", "min_samples": 100},
        },
    )
    done = project.ddpm("run", timeout=2200)
    assert done.code == 0, done.text
    assert "is the first champion" in done.text
    verdict = json.loads(project.read("out/gate.json"))
    assert verdict["outcome"] == "pass"
    metrics = json.loads(project.read("out/metrics.json"))
    assert "fd_efficientnet_lite0_train" in metrics
    assert "accuracy_asked" not in metrics
