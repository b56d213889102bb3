"""What stage evaluate wrote, read back, and the verdict on it: one place for the report and the gate."""

import json
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError
from ddpm_core.files import sha256_bytes
from ddpm_core.metrics.verdict import GateConfig, Verdict, verdict
from pipelines.paths import Paths


def judge(paths: Paths, config: GateConfig) -> tuple[Verdict, str]:
    """The verdict from the files of stage evaluate and today's rules, and the SHA-256 of the record it rests on."""
    metrics, _ = read_json(paths.metrics)
    record, data = read_json(paths.record)
    return verdict(metrics, record, config), sha256_bytes(data)


def read_json(path: Path) -> tuple[dict[str, Any], bytes]:
    """The object in a JSON file of stage evaluate, and the file's bytes."""
    if not path.is_file():
        raise DataError(f"{path}: there must be a measurement to judge; run `ddpm evaluate` first")
    data = path.read_bytes()
    try:
        value = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path}: must be JSON, but {error}; run `ddpm evaluate` again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: must be a JSON object, got {type(value).__name__}; run `ddpm evaluate` again")
    return value, data
