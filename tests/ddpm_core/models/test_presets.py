"""docs/models.md: every preset builds and has the number of parameters that its table says."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from ddpm_core.models import UNetConfig
from ddpm_core.models.unet import UNet

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
TABLE = re.findall(
    r"^\| `([\w-]+)`[^|]*\| (\d) x (\d+) x (\d+)(?:, ([\d,]+) classes)? \| ([\d,]+) \|.*\| (\w+) \|$", PAGE, re.M
)
PRESETS: dict[str, dict[str, Any]] = YAML(typ="safe").load(
    next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "digits:" in block)
)


def config(section: dict[str, Any]) -> UNetConfig:
    lists = ("multipliers", "attention_levels")
    values = {key: tuple(value) if key in lists else value for key, value in section.items()}
    return UNetConfig(**{**values, "refine": 0 if values["refine"] == "auto" else values["refine"]})


def test_the_table_and_the_blocks_name_the_same_presets() -> None:
    assert [row[0] for row in TABLE] == list(PRESETS)
    assert len(PRESETS) == 6


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_a_preset_has_the_parameters_that_the_page_says(row: tuple[str, ...]) -> None:
    name, channels, height, width, classes, parameters, variance = row
    shape = (int(channels), int(height), int(width))
    with torch.device("meta"):
        model = UNet(
            config(PRESETS[name]), shape, int(classes.replace(",", "") or 0), learned_variance=variance == "learned"
        )
    assert sum(p.numel() for p in model.parameters()) == int(parameters.replace(",", ""))


def test_the_default_parameters_are_the_preset_for_digits() -> None:
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert params["model"] == PRESETS["digits"]
