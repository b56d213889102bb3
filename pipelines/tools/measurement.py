"""What stage evaluate wrote, read back, and the verdict on it: one place for the report and the gate."""

import json
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError
from ddpm_core.files import sha256_bytes
from ddpm_core.metrics.gate_config import GateConfig
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.verdict import Verdict, verdict
from pipelines.paths import Paths


def judge(paths: Paths, config: GateConfig) -> tuple[Verdict, str]:
    """The verdict from the files of stage evaluate and today's rules, and the SHA-256 of the record it rests on."""
    metrics, _ = read_json(paths.metrics)
    record, data = read_json(paths.record)
    return verdict(metrics, record, config), sha256_bytes(data)


def judged_in(folder: Path, config: GateConfig) -> Verdict:
    """The verdict on what lies in a folder of its own."""
    return verdict(read_json(folder / "metrics.json")[0], read_json(folder / "record.json")[0], config)


def read_measurement(metrics: Path, record: Path) -> Measurement:
    """What stage evaluate wrote of one model."""
    found = Measurement(read_json(metrics)[0], read_json(record)[0])
    try:
        _ = found.bundle, found.conditions["distances"], found.confidence
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{record}: must say conditions.distances, conditions.settings.confidence and provenance.bundle, but "
            f"{type(error).__name__}: {error}; run `ddpm evaluate` again"
        ) from error
    return found


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
