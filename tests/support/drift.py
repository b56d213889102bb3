"""Levels of drift for the contracts of tests, and what stage validate leaves for the report."""

import json
from pathlib import Path
from typing import Any

from pipelines.contract.config import DriftConfig, DriftLevels
from pipelines.validation.files import DRIFT as DRIFT_FILE
from pipelines.validation.files import EXAMPLES

DRIFT = DriftConfig(DriftLevels(0.2, 0.1, 0.2, 0.02), DriftLevels(0.5, 0.3, 0.5, 0.1))


def write_validation(folder: Path, measures: list[dict[str, Any]], shown: list[dict[str, Any]], png: bytes) -> None:
    """out/validation with these rows of drift, and one PNG for each entry of the list of examples."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DRIFT_FILE).write_text(json.dumps({"accepted": bool(measures), "measures": measures}))
    (folder / EXAMPLES).write_text(json.dumps(shown))
    for each in shown:
        (folder / each["file"]).write_bytes(png)
