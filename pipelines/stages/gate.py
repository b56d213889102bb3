"""Stage gate: the verdict about the bundle that was measured; exit code 3 unless it passes."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import DataError, GateFailed
from ddpm_core.files import atomic_write_json, sha256_bytes
from ddpm_core.metrics.verdict import GateConfig, Verdict, verdict
from pipelines.paths import Paths

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Judge out/metrics.json by section gate; write out/gate.json, and a copy that outlives a failure."""
    config: GateConfig = params.gate
    judged, record = judge(paths, config)
    content = {**judged.to_dict(), "record_sha256": record, "model_name": config.model_name}
    kept = paths.logs / "gate.json"
    for path in (kept, paths.gate):
        atomic_write_json(path, content)
    log.info("%s", judged.table())
    tracker.publish(paths, params, "gate")
    if not judged.passed:
        reasons = "\n  ".join(judged.reasons)
        raise GateFailed(
            f"the model does not pass the gate ({judged.outcome}):\n  {reasons}\nThe report shows it: "
            f"{paths.report / 'index.html'}. The verdict is kept in {kept}. Train on (section train), or change the "
            "rules (section gate) if they are not what you want."
        )


def judge(paths: Paths, config: GateConfig) -> tuple[Verdict, str]:
    """The verdict from the files of stage evaluate and today's rules, and the SHA-256 of the record it rests on."""
    metrics, _ = _read(paths.metrics)
    record, data = _read(paths.record)
    return verdict(metrics, record, config), sha256_bytes(data)


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
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
