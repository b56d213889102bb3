"""Stage gate: the verdict about the bundle that was measured; exit code 3 unless it passes."""

import logging
from typing import TYPE_CHECKING

from ddpm_core.errors import GateFailed
from ddpm_core.files import atomic_write_json
from ddpm_core.metrics.gate_config import GateConfig
from pipelines.paths import Paths
from pipelines.tools.measurement import judge
from pipelines.tools.source_facts import registered_name

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Judge out/metrics.json by section gate; write out/gate.json, and a copy that outlives a failure."""
    config: GateConfig = params.gate
    judged, record = judge(paths, config)
    content = {**judged.to_dict(), "record_sha256": record, "model_name": registered_name(config, paths)}
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
