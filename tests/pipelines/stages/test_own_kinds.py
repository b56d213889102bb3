"""A network and an objective from outside: one file each and a name in the union. The stages train and read them."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.models import ModelConfig
from ddpm_core.objectives.config import ObjectiveConfig
from pipelines.parsing import Faults, parse_value
from pipelines.stages import train
from pipelines.training import weights_file
from tests.pipelines.stages.own_network import PixelwiseConfig
from tests.pipelines.stages.own_objective import OneLevelConfig
from tests.support.small_training import DIFFUSION, HELD, MODEL, Recorder, params, project

NETWORKS, OBJECTIVES = ModelConfig | PixelwiseConfig, ObjectiveConfig | OneLevelConfig
SECTIONS = {
    "pixelwise": ("model", {"kind": "pixelwise", "width": 8}),
    "one_level": ("diffusion", {"kind": "one_level", "std": 0.5, "target": "x0", "variance": "fixed_small"}),
}


def parsed(union: Any, value: dict[str, Any]) -> Any:
    faults = Faults()
    config = parse_value(union, value, "", faults)
    faults.raise_if_any("params.yaml")
    return config


@pytest.mark.parametrize("kind", SECTIONS)
def test_it_trains_and_its_weights_are_read_again(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section, value = SECTIONS[kind]
    config = parsed(NETWORKS if section == "model" else OBJECTIVES, value)
    own = params(**{"model": replace(MODEL, dropout=0.0), "diffusion": DIFFUSION, section: config}, **HELD, lr=1e-2)
    paths, recorder = project(tmp_path), Recorder()
    train.run(own, paths, recorder)
    rows = list(csv.DictReader(paths.curves.open()))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["held_out_loss"]) < float(rows[0]["held_out_loss"])
    assert tuple(rows[0]) == (*train.COLUMNS, "held_out_loss")
    assert all(row["loss_band_1"] == "" for row in rows) is (kind == "one_level")  # it has no bands
    monkeypatch.setattr(weights_file, "ModelConfig", NETWORKS)
    monkeypatch.setattr(weights_file, "ObjectiveConfig", OBJECTIVES)
    net, about, _, objective = weights_file.read_weights(paths.weights)
    assert about[section] == value
    assert {"model": type(net).__name__, "diffusion": objective.kind}[section].lower() == kind


@pytest.mark.parametrize("union", [NETWORKS, OBJECTIVES], ids=["network", "objective"])
def test_a_kind_that_nobody_has_is_refused_with_those_there_are(union: Any) -> None:
    with pytest.raises(Exception, match=r"kind: must be one of .*(unet, .*pixelwise|diffusion, .*one_level)"):
        parsed(union, {"kind": "unheard_of"})
